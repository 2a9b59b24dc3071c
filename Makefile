# Everything happens in .venv, which the first command makes; nothing is installed outside of it.
PYTHON ?= python3
VENV := .venv
SOAK_FAULTS ?= 60
SOAK_SEED ?= 0
READY := $(VENV)/ready
READY_FOR_DOCS := $(VENV)/ready-for-docs

.PHONY: bench bench-training test test-scripts soak lint docs clean

bench: $(READY)
	$(VENV)/bin/pytest benchmarks

bench-training: $(READY)
	$(VENV)/bin/pytest benchmarks --gpt-suite=training

# A file on one worker, so that its sessions run once; in their order, which tests/conftest.py begins with the long ones.
test: $(READY)
	$(VENV)/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

# Real sessions with injected faults, some fifteen minutes; SOAK_FAULTS and SOAK_SEED choose how many and which.
soak: $(READY)
	PYTHONPATH=tests $(VENV)/bin/python -m soak --faults $(SOAK_FAULTS) --seed $(SOAK_SEED)

# What the documents' scripts do; apart, because nobody who uses the plugin runs them.
test-scripts: $(READY)
	$(VENV)/bin/pytest -n 2 --dist loadfile tests/scripts

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/zizmor --offline --strict-collection --pedantic --quiet .github

docs: $(READY_FOR_DOCS)
	$(VENV)/bin/sphinx-build --fail-on-warning --nitpicky --quiet docs docs/_build

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,lint]'
	@touch $@

$(READY_FOR_DOCS): $(READY)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) docs/_build
