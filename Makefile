# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The tests run on all cores as processes; each then computes with one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

.DEFAULT_GOAL := help
.PHONY: help setup demo lint check test docs bench clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(READY)  ## Make .venv with the versions that are tested together

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medseg needs Python 3.11 or newer; call make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)  ## Train, predict, evaluate and export on synthetic data, in a few minutes
	$(BIN)/medseg demo

lint: $(READY)  ## Style, import contracts, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

check: lint  ## lint and the fast tests
	$(PYTEST) -m 'not slow and not gpu'

test: lint  ## lint and all tests but those that need a GPU
	$(PYTEST) -m 'not gpu' --cov --cov-report=term:skip-covered --cov-fail-under=95

docs: $(READY)  ## Build the site of documents into site/
	$(BIN)/mkdocs build --strict

bench: $(READY)  ## medseg beside its peers; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run_all.py

clean:  ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage demo_output site
