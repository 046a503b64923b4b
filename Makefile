# vidskim: `make demo`, `make test`, `make check` do everything on a machine with Python 3.11 and pip.

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
# At a terminal pip shows its progress, elsewhere only what goes wrong.
QUIET := $(shell [ -t 2 ] || echo --quiet --quiet)
PIP := $(BIN)/pip --disable-pip-version-check install $(QUIET) --no-compile -c constraints.txt
# pip would compile every file of every package, half a minute: only what is imported is compiled,
# here once, so that starting is quick where PYTHONDONTWRITEBYTECODE is set, too.
WARM := PYTHONDONTWRITEBYTECODE= $(BIN)/python -c \
    "import av, jsonargparse, lightning_fabric, matplotlib.figure, safetensors.torch, torch.utils.flop_counter"
WORKERS ?= 2
# Benchmarks and examples are not typed strictly, but call what is there as it is.
LOOSE := $(addprefix --disable-error-code=,union-attr operator assignment var-annotated misc)

.DEFAULT_GOAL := help
.PHONY: help demo setup check format test test-slow oracle clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run.stamp  ## the main job, set-up included: ten minutes on two cores
	$(BIN)/vidskim demo

setup: $(VENV)/dev.stamp  ## everything a developer needs, into .venv

check: $(VENV)/dev.stamp  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --ignore-missing-imports $(LOOSE) benchmarks examples

format: $(VENV)/dev.stamp  ## mend what `make check` finds, where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/dev.stamp  ## the default tests: no network, no GPU, minutes
	$(BIN)/pytest -n $(WORKERS)

test-slow: $(VENV)/dev.stamp  ## the tests marked slow
	$(BIN)/pytest -n $(WORKERS) -m "slow and not network"

oracle: $(VENV)/oracle.stamp  ## torchvision, which the parity tests compare with

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

# The first interpreter that runs and is new enough; a venv is made only where none works.
$(BIN)/python:
	@for python in python3.11 python3 python3.12 python3.13; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "vidskim needs Python 3.11 or newer: no python3.11 or python3 on PATH is" >&2; exit 1

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vidskim into $(VENV), about a minute"
	@$(PIP) -e .
	@$(WARM)
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vidskim and its development tools into $(VENV), about a minute"
	@$(PIP) -e ".[dev]"
	@$(WARM)
	@touch $(VENV)/run.stamp $@

# Without dependencies: torchvision's wheels would replace a CPU build of torch.
$(VENV)/oracle.stamp: $(VENV)/dev.stamp
	@$(PIP) --no-deps torchvision
	@touch $@
