# The commands of the project. `make` alone lists them.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# nproc would count the threads that OMP_NUM_THREADS allows one process.
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
# One more than the cores, as tests wait for processes that they start.
WORKERS ?= $(shell expr $(CORES) + 1)
SOURCES := src tests benchmarks setup config workflow/scripts docs/claims_tables.py docs/tables
WORKFLOW := Snakefile workflow
# What can be computed again, outside the checkout.
CACHE := $(or $(POPINV_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/popinv)
export MYPY_CACHE_DIR := $(CACHE)/mypy
# Without bytecode each process compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=
# The tests to run: make test TESTS=tests/papers
TESTS ?= tests
BASE ?= HEAD
MINUTES ?= 25
TEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Only what exists: a part that is not there is not an error.
PYTHON_FILES = $(wildcard $(SOURCES))
WORKFLOW_FILES = $(wildcard $(WORKFLOW))

.PHONY: help setup lock doctor run unlock lint format test test-changed test-record test-full test-full-changed combinations mutation benchmark docs clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: ## build the environment in .venv, or say that it is there
	@bash setup/install.sh

lock: ## write the versions now in .venv to setup/constraints.txt
	@$(BIN)/python setup/lock.py

doctor: ## report what is installed and whether it works
	@$(BIN)/python -m popinv.cli.doctor

run: setup ## run the workflow on config/config.yaml, and print what it found
	@$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m popinv.cli.show results/*/metrics.json
	@echo 'what it means: docs/tutorial.md; a study of your own: $(BIN)/popinv new-study --help'

unlock: ## take away the lock that a killed Snakemake has left, unless something still runs
	@$(BIN)/python -m popinv.cli.unlock

lint: ## check style and types
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(if $(WORKFLOW_FILES),$(BIN)/snakefmt --check $(WORKFLOW_FILES))
	$(BIN)/mypy

format: ## put the sources into the style that lint checks
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)
	$(if $(WORKFLOW_FILES),$(BIN)/snakefmt $(WORKFLOW_FILES))

test: setup lint ## lint, then run the default tier of the tests (TESTS=folder: those alone)
	$(TEST) -m "not full" $(TESTS)

test-changed: setup lint ## lint, then run the tests that enter what has changed since BASE=HEAD
	$(TEST) -m "not full" --changed $(BASE) $(TESTS)

test-record: setup ## record what each test takes and enters, by which test-changed chooses
	$(TEST) -m "not full" --record $(TESTS)

test-full: setup ## run the full tier: all parameters, ranks, statistical sizes, whole runs (hours)
	$(TEST) -m "" $(TESTS)

test-full-changed: setup ## run what the full tier adds where files that passed it have changes since, MINUTES=25 at most
	$(TEST) -m full --changed full --minutes $(MINUTES)

combinations: setup ## test all combinations, and write the table of those that pass (half an hour)
	$(BIN)/python -m pytest -n 0 -q -m "" tests/inference/likelihood/test_combinations.py \
		tests/methods/test_uses_of_combinations.py --passed docs/tables/data/combinations.json

mutation: setup ## change formulas at random and see whether a test fails (slow; it can be stopped)
	@$(BIN)/python tests/mutation/mutate.py

benchmark: setup ## time the package beside its peers (less than a quarter of an hour)
	@$(BIN)/python -m benchmarks

docs: setup ## build the documentation into build/site; a warning is an error
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/site
	@echo 'see build/site/index.html'

clean: ## remove what tools leave behind; the environment and results stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find src tests benchmarks workflow -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
