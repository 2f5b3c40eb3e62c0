# One entry point for people and for CI: a fresh machine needs only `make run` or `make test`.

SHELL       := bash
.SHELLFLAGS := -o pipefail -c

# The first Python that is new enough, to make .venv with.
PYTHON  ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell $(python) -c \
  'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))) python3)
# Extras to install: `all`, or for instance EXTRAS=marl,dev where no C++ compiler is at hand.
EXTRAS  ?= all
# Processes that pytest and swarm use: one more than two cores, as many tests wait for processes of their own.
WORKERS ?= 3
# Scenarios that `make swarm` draws and checks.
SEEDS   ?= 0..1999
# Mutants of its inputs that the fuzzer makes there.
MUTANTS ?= 0..4999
# Wrong tokens that `make mutants` tries in the engines, and what draws them.
TOKENS      ?= 100
TOKENS_SEED ?= 0

# What `make run` compares, and where the results go.
STUDY  := runs/rush-hour
RIVALS := p2-exact,greedy-cost,greedy-latency,random,edge-equal,local-only

BIN      := .venv/bin
PIP      := $(BIN)/python -m pip --disable-pip-version-check
# Modules are compiled when they are first imported: nobody imports all of torch.
INSTALL  := $(PIP) install -qq --no-compile -c constraints.txt
PACKAGES := physical twin policies traces sim vectwin tests docs
COMMA    := ,

# As a module, so that it takes the packages of this tree. The variable silences the theme about another product.
MKDOCS   := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs

# llama.cpp without what nothing here uses: a third of the work. CMAKE_ARGS of one's own are kept.
LLAMA_CMAKE_ARGS := -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/llama.cmake
WITH_LLM         := $(filter all llm,$(subst $(COMMA), ,$(EXTRAS)))
EMPTY            :=
SPACE            := $(EMPTY) $(EMPTY)
OTHER_EXTRAS     := $(if $(filter all,$(EXTRAS)),marl$(COMMA)env$(COMMA)report$(COMMA)dask$(COMMA)docs$(COMMA)dev,$(strip \
  $(subst $(SPACE),$(COMMA),$(filter-out llm,$(subst $(COMMA), ,$(EXTRAS))))))

# Of what the build prints, the steps, on one line of a terminal and every twentieth elsewhere.
SHOW_STEP := match($$0, /\[[0-9]+\/[0-9]+\]/) {step = substr($$0, RSTART, RLENGTH); \
  if (TTY) {printf "\r  building llama.cpp %s ", step; fflush()} else if (++num % 20 == 0) {print "  building llama.cpp " step; fflush()}} END {if (TTY) print ""}

# One thread per process: the same sums in the same order everywhere, and no fight between pytest's processes.
export OMP_NUM_THREADS      := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS      := 1
# Compiled modules are kept, whatever the shell says: tests start hundreds of processes, which would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check quick slow swarm mutants bench lint docs serve figures clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.core  ## rush-hour: policies that differ, with intervals, a figure and a page
	@$(BIN)/twin compare rush-hour --policies $(RIVALS) --seeds 0..9 --slots 400 --workers 2 --out $(STUDY) --plot $(STUDY)/penalty.svg
	@$(BIN)/twin report $(STUDY) & page=$$!; $(MAKE) --no-print-directory .venv/.ready && wait $$page
ifneq ($(WITH_LLM),)
	@echo; echo "A small language model, which was not trained for this:"
	@$(BIN)/twin compare rush-hour --policies p2-exact,llm --seeds 0..4 --slots 60 --workers 2 --out $(STUDY)-llm
endif
	@echo; echo "Next:"
	@echo "  $(BIN)/twin run rush-hour --policy greedy-cost --seed 7 --out runs/mine   # one run, with its trace"
	@echo "  $(BIN)/twin report runs/mine                                             # a page about it"
	@echo "  $(BIN)/twin --help                                                       # all there is"

test: lint  ## everything CI runs: lint, types, import rules, and all tests except the slow ones
	@$(BIN)/pytest -q -n $(WORKERS) -m "not slow"

# Beside the linters, as mypy is one process. What is quick: THOROUGH in tests/conftest.py.
check: .venv/.ready  ## the quick loop, a minute on two cores: lint, tests/{unit,tidy,smoke} and doctests but those marked full
	@$(MAKE) --no-print-directory -j 2 lint quick

quick: .venv/.ready
	@$(BIN)/pytest -q -n 2 -m "not slow and not full" tests $(filter-out tests docs,$(PACKAGES))

slow: .venv/.ready  ## the tests marked slow
	@$(BIN)/pytest -q -m slow

swarm: .venv/.ready  ## drawn scenarios, checked from their tables, and mutated inputs: SEEDS=0..9999 MUTANTS=0..4999
	@$(BIN)/python -m tests.swarm --seeds $(SEEDS) --workers $(WORKERS); found=$$?; \
	  $(BIN)/python -m tests.fuzz --mutants $(MUTANTS) --workers $(WORKERS) && exit $$found

mutants: .venv/.ready  ## do the tests find a wrong token in an engine: TOKENS=100 TOKENS_SEED=0; not in CI
	@$(BIN)/python -m tests.mutants --number $(TOKENS) --seed $(TOKENS_SEED)

bench: .venv/.ready  ## speed ratios, measured in one run
	@$(BIN)/twin bench

lint: .venv/.ready  ## format, lint, types and import rules, without tests
	@$(BIN)/ruff format --quiet --check $(PACKAGES) examples || { echo "fix with: $(BIN)/ruff format $(PACKAGES) examples" >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(PACKAGES) examples
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo --config pyproject.toml

docs: .venv/.ready  ## the documentation, into site/; a dead link is an error
	@# Without --quiet, which would let warnings pass.
	@$(MKDOCS) build 2>&1 | { grep -v "^INFO" >&2 || true; }
	@echo "open site/index.html"

serve: .venv/.ready  ## the documentation at http://127.0.0.1:8000, built anew when a page changes
	@$(MKDOCS) serve

figures: .venv/.ready  ## the drawings of the documentation; python -m docs.figures --all also measures, in minutes
	@$(BIN)/python -m docs.figures

clean:  ## remove caches and build products; .venv and runs/ stay
	@rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(PACKAGES) -type d -name __pycache__ -prune -exec rm -rf {} +

# First what needs no compiler, in seconds: enough for most runs.
.venv/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "vectwin needs Python 3.11 or later: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "installing vectwin into .venv (once; about half a minute)" >&2
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -e ".[report]"
	@touch $@

# Then the extras: one core unpacks those from wheels while the other begins to build llama.cpp. By name, as what is
# installed from here already would be built again for a path.
.venv/.ready: .venv/.core llama.cmake
	@echo "installing the extras $(EXTRAS) (once; with llama.cpp about 4 minutes on two cores)" >&2
	@$(MAKE) --no-print-directory -j 2 .venv/.wheels $(if $(WITH_LLM),.venv/.llama)
	@$(INSTALL) --find-links .venv/wheels "vectwin[$(EXTRAS)]"
	@touch $@

.venv/.wheels: .venv/.core
	@$(INSTALL) "vectwin[$(OTHER_EXTRAS)]"
	@touch $@

.venv/.llama: constraints.txt llama.cmake | .venv/.core
	@command -v c++ >/dev/null || command -v g++ >/dev/null \
	  || { echo "llama-cpp-python needs a C++ compiler (c++ or g++): install one, or use EXTRAS=marl,dev" >&2; exit 1; }
	@CMAKE_ARGS="$(LLAMA_CMAKE_ARGS) $${CMAKE_ARGS:-}" $(PIP) wheel -v --no-deps -c constraints.txt -w .venv/wheels llama-cpp-python 2>&1 \
	  | tee .venv/llama.log | awk -v TTY=$$([ -t 2 ] && echo 1) '$(SHOW_STEP)' >&2 \
	  || { tail -n 20 .venv/llama.log; echo "llama.cpp cannot be built: .venv/llama.log has all of it" >&2; exit 1; }
	@touch $@
