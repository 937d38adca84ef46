# Two commands do everything on a bare machine with Python 3.11 and a C compiler: `make run` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPLOYED := .venv-runtime

.DEFAULT_GOAL := run
.PHONY: run test lint runtime docs clean

run: $(VENV)/.installed ## Compile a trained network, classify real images with it, compare with onnxruntime
	$(BIN)/python -m models.digits

test: $(VENV)/.installed-dev lint runtime ## Everything that CI checks
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=
	$(BIN)/python -m coverage report --fail-under=90 | tail -n 40

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

runtime: $(VENV)/.installed-dev ## Run a program where nothing but graphopt-runtime is installed; print its size and time
	rm -rf $(DEPLOYED) build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build .distributions/runtime
	$(BIN)/python -m venv $(DEPLOYED)
	$(DEPLOYED)/bin/python -m pip install --quiet build/graphopt_runtime-*.whl
	$(BIN)/python -m graphopt compile models/digits/digits.onnx -o build/digits.gopt
	$(DEPLOYED)/bin/python -I tests/runtime_only.py build/digits.gopt models/digits/digits_test.npz

docs: $(VENV)/.installed-dev ## Write graphopt/docs/reference from what the code says of itself
	$(BIN)/python -m tests.documents.reference

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "graphopt needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(DEPLOYED) build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
