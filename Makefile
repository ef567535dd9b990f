# `make demo` and `make test` do all set-up themselves, in a .venv of their own.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
# Versions that are known to work together; the newest are PACKAGES='.[numba,plot,test]'.
PACKAGES ?= --requirement requirements.txt
DEMO_MINUTES ?= 10

.PHONY: demo test test-all slow faults wheel-test lint format docs

# Old Pythons would only learn from pip that one package after the other is not for them.
$(VENV)/installed: requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		"spiral_jax needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] \
		+ ": name a newer one, such as make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet $(PACKAGES)
	$(RUN) -m pip install --quiet --no-deps --editable .
	touch $@

demo: $(VENV)/installed
	$(RUN) -m experiments.launch --preset=mnist_small --run_dir=runs/demo \
		--max_minutes=$(DEMO_MINUTES) --evaluate_minutes=2
	$(RUN) -m experiments.sample --run_dir=runs/demo

test: $(VENV)/installed
	$(RUN) -m pytest -m "not slow and not thorough" --ignore=tests/devices -n auto --dist worksteal

test-all: $(VENV)/installed
	$(RUN) -m pytest -m "not slow" --ignore=tests/devices -n auto --dist worksteal
	XLA_FLAGS=--xla_force_host_platform_device_count=8 $(RUN) -m pytest tests/devices

slow: $(VENV)/installed
	$(RUN) -m pytest -m slow

faults: $(VENV)/installed
	$(RUN) -m experiments.faults --short

wheel-test: $(VENV)/installed
	$(RUN) -m tests.wheel

lint: $(VENV)/installed
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyrefly check --python-interpreter-path=$(RUN)

# Sources are read and nothing of ours is imported, so these packages are enough. Pinned in a
# file of their own: --strict ends at any warning of a newer one, and no demo should wait for them.
$(VENV)/docs-installed: docs/site/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement docs/site/requirements.txt
	touch $@

# Not --quiet: mkdocs would not count its warnings then.
docs: $(VENV)/docs-installed
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --config-file docs/site/mkdocs.yml

format: $(VENV)/installed
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
