# make demo    see fabula at work on a real table; the results go to fabula-demo/
# make test    run the tests (SLOW=1: the slow ones too; WORKERS=n: over n processes)
# make lint    style, types and layers
# make docs    build the documentation to docs/_build/html; a warning is an error
# make bench   measure against other libraries
# make constraints   write constraints.txt anew from the newest versions
# make clean   remove what was built here, the environment included

# The first of these that is Python 3.11 or newer; or say `make test PYTHON=…`.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV ?= .venv
WORKERS ?= 2
SLOW ?=

# Tests compile many small networks that run for a moment: half of their time is the compiler's.
QUICK_COMPILER := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
	--xla_cpu_use_fusion_emitters=false

BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test bench docs lint constraints clean

demo: $(VENV)/.installed
	$(BIN)/fabula demo -o fabula-demo --force

test: $(VENV)/.installed-test
	XLA_FLAGS="$(QUICK_COMPILER)" $(BIN)/python -m pytest -n $(WORKERS) $(if $(SLOW),,-m "not slow")

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src/fabula
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs
	rm -rf docs/generated
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

# One mark for each set of packages in the environment; a change of versions renews them.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[$*]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "fabula needs Python 3.11 or newer: say where it is with PYTHON=…" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

constraints: FRESH := $(shell mktemp -u -d)
constraints:
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --disable-pip-version-check '.[all]'
	echo '# The versions that were tested together, direct and transitive. Written by `make constraints`.' > constraints.txt
	$(FRESH)/bin/python -m pip freeze --exclude fabula | sed -E 's/\+[a-z0-9.]+$$//' >> constraints.txt
	rm -rf $(FRESH)

clean:
	rm -rf $(VENV) docs/_build docs/generated fabula-demo dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
