# What vectwin does not use of llama.cpp, and what takes most of the time to build: its tools, its server and what only
# they share. llama-cpp-python sets LLAMA_BUILD_COMMON in CMake's cache; a normal variable, as here, wins over that.
set(LLAMA_BUILD_COMMON OFF)
set(LLAMA_BUILD_TOOLS OFF)
set(LLAMA_BUILD_SERVER OFF)
