"""Language models as policies: in-context decisions by llama.cpp, and the training of the bundled model.

Read `policy` first: it shows cases and a state to an `engine`. There are two engines: `bundled`, for the model that is
trained here, and `text`, for any model that reads and writes text. `llama` and `session` call llama.cpp.
"""
