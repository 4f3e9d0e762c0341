# `make dev` and `make test` are all a newcomer needs; both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The files name every package, at one version, so pip has no dependency to look for.
# Compiled afterwards, on all cores: pip compiles one file after the other.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile

.PHONY: dev demo install test lint bench bench-full

dev: install
	@$(BIN)/connector-pipeline dev

demo: install
	@$(BIN)/connector-pipeline demo

# An installed wheel has bytecode. Without it, and where PYTHONDONTWRITEBYTECODE is set, each command takes
# a quarter of a second to compile the package anew.
install: $(STAMP)
	@$(BIN)/python -m compileall -q connector_pipeline || true

# The environment is removed first, so that no package of an older constraints file stays in it.
$(STAMP): pyproject.toml constraints.txt constraints-build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "connector-pipeline needs Python 3.11 or newer; set PYTHON=python3.11")'
	@echo 'The first time, the packages are installed into $(VENV): some minutes, once.'
	@rm -rf $(VENV)
	@echo '1 of 4: an environment for Python'
	@$(PYTHON) -m venv $(VENV)
	@echo '2 of 4: the packages that build others'
	@$(PIP) --require-hashes --only-binary :all: --requirement constraints-build.txt
	@echo "3 of 4: $$(grep -c == constraints.txt) packages, most of the time: Dagster, Postgres, tools"
	@$(PIP) --require-hashes --no-build-isolation --requirement constraints.txt
	@echo '4 of 4: connector-pipeline itself'
	@$(PIP) --no-index --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib || true
	@touch $(STAMP)

test: install
	@.ci/in_memory .ci/tests

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# One table of speed, in bench/results: alone on the machine it takes under 15 minutes.
bench: install
	$(BIN)/python bench/table.py --out bench/results

# The same with 1,000 shops and a shop of 1,000,000 variants.
bench-full: install
	$(BIN)/python bench/table.py --full --out bench/results
