# One entry point for people and for CI: a fresh machine needs only `make run` or `make test`.

# The first Python that is new enough, to make .venv with.
PYTHON  ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell $(python) -c \
  'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))) python3)
# Extras to install: `all`, or for instance EXTRAS=marl,dev where no C++ compiler is at hand.
EXTRAS  ?= all
# Processes that pytest uses.
WORKERS ?= 2

BIN      := .venv/bin
PACKAGES := physical twin policies traces sim tests
COMMA    := ,

# One thread per process: the same sums in the same order everywhere, and no fight between pytest's processes.
export OMP_NUM_THREADS      := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS      := 1

.DEFAULT_GOAL := help
.PHONY: help run test check slow bench lint clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.ready  ## rush-hour: policies that differ, with intervals
	@$(BIN)/twin compare rush-hour --policies p2-exact,greedy-cost,greedy-latency,random,edge-equal,local-only --seeds 0..9 --slots 400 --workers 2

test: lint  ## everything CI runs: lint, types, import rules, and all tests except the slow ones
	@$(BIN)/pytest -q -n $(WORKERS) -m "not slow"

check: lint  ## the fast loop, under a minute: lint, types, import rules, quick tests and doctests
	@$(BIN)/pytest -q -n $(WORKERS) -m "not slow and not full"

slow: .venv/.ready  ## the tests marked slow
	@$(BIN)/pytest -q -m slow

bench: .venv/.ready  ## speed ratios, measured in one run
	@$(BIN)/twin bench

lint: .venv/.ready  ## format, lint, types and import rules, without tests
	@$(BIN)/ruff format --quiet --check $(PACKAGES) || { echo "fix with: $(BIN)/ruff format $(PACKAGES)" >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(PACKAGES)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo --config pyproject.toml

clean:  ## remove caches and build products; .venv and runs/ stay
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(PACKAGES) -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "vectwin needs Python 3.11 or later: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
ifneq ($(filter all llm,$(subst $(COMMA), ,$(EXTRAS))),)
	@command -v c++ >/dev/null || command -v g++ >/dev/null \
	  || { echo "llama-cpp-python needs a C++ compiler (c++ or g++): install one, or use EXTRAS=marl,dev" >&2; exit 1; }
endif
	@echo "installing vectwin[$(EXTRAS)] into .venv (once; llama-cpp-python may compile for some minutes)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@
