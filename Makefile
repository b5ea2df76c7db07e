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
# What takes long to set up is shared by the tests of a file, so a file stays with one worker.
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

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
	$(PYTEST) -m "not slow" $(COVERAGE) $(ARGS)

# Prerequisites see the variable, too.
test-all: COVERAGE = --cov --cov-report=term-missing
test-all: test
	$(PYTEST) -m slow $(ARGS)

# New examples for property tests, which hypothesis marks; other runs draw the same ones every time.
fuzz: $(STAMP)
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -n $(WORKERS) -m hypothesis $(ARGS)

bench-env: $(STAMP)
	$(BIN)/python benchmarks/builtin_env.py $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/compare.py $(ARGS)

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, ignore_errors=True) for d in ('build', 'dist', '.pytest_cache', '.mypy_cache', '.ruff_cache')]"
