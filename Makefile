# The commands of this project. Each makes what it needs: a virtual environment in .venv, and the packages in it.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(name))))
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# One more than there are cores: many tests wait for servers, browsers and clocks.
TESTERS ?= $(shell echo $$(( 1 + $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) )))
SOURCES := server simulation experiments tests benchmarks docs

.DEFAULT_GOAL := help
.PHONY: help run test chaos check format coverage bench schema screenshots clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## Serve the chatroom on http://127.0.0.1:8000/ (token 1234)
	@$(BIN)/chatroom serve

test: $(VENV)/.installed-dev ## Run all tests (browser tests need Chromium)
	$(BIN)/python -m pytest -q -n $(TESTERS)

chaos: $(VENV)/.installed-dev ## The chaos suite in its long form, with its figures (about a quarter of an hour)
	CHAOS=long $(BIN)/python -m pytest -q -rP -n 2 tests/chaos

check: $(VENV)/.installed-dev ## Lint, format and types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## Put the code into its form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

coverage: $(VENV)/.installed-dev ## Which lines the tests reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -m "not statistics"
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered --show-missing

bench: $(VENV)/.installed-dev ## Measure speed and memory, as ratios in one run (about ten minutes)
	$(BIN)/python -m benchmarks

schema: $(VENV)/.installed ## Write config/schema and docs/protocol anew from the models
	$(BIN)/python -m experiments.schema
	$(BIN)/python -m server.protocol_docs

screenshots: $(VENV)/.installed-dev ## Take the README's pictures (needs Chromium)
	$(BIN)/python docs/take_screenshots.py

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python3.11 run"; exit 1; }
	@echo "Making a virtual environment in $(VENV) ($(PYTHON)) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the server (a minute, the first time) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the server and what its tests need (a minute or two, the first time) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
