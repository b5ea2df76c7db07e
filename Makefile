# Targets for people who work on this package. Needs Python 3.10 or newer with venv and pip.
VENV ?= .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
PACKAGE := $(VENV)/.package
STAMP := $(VENV)/.installed
WORKERS ?= 2
ARGS ?=

.PHONY: demo test test-all lint install clean fuzz bench bench-env

install: $(STAMP)

# The package alone, then what tests need.
$(PACKAGE): pyproject.toml constraints.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	$(BIN)/python -c "import pathlib; pathlib.Path('$(PACKAGE)').touch()"

$(STAMP): $(PACKAGE)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/python -c "import pathlib; pathlib.Path('$(STAMP)').touch()"

demo: $(PACKAGE)
	$(BIN)/python examples/demo.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" --cov --cov-report=term-missing $(ARGS)

test-all: test
	$(BIN)/python -m pytest -n $(WORKERS) -m slow $(ARGS)

# New examples for property tests, which hypothesis marks; other runs draw the same ones every time.
fuzz: $(STAMP)
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -n $(WORKERS) -m hypothesis $(ARGS)

bench-env: $(STAMP)
	$(BIN)/python benchmarks/builtin_env.py $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/compare.py $(ARGS)

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, ignore_errors=True) for d in ('build', 'dist', '.pytest_cache', '.mypy_cache', '.ruff_cache')]"
