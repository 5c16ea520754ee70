# Everything here starts from a machine that has Python 3.11 or newer and make.
#   make replicate PROFILE=smoke|default|paper ONLY=name JOBS=n
#   make test      CCPRUNE_DATA=/folder/with/the/data  also runs the tests that need the authors' files
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PROFILE ?= default
ONLY ?=
JOBS ?= 1
THREADS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS ?= $(THREADS)
export OPENBLAS_NUM_THREADS ?= $(THREADS)
export MKL_NUM_THREADS ?= $(THREADS)
export NUMBA_NUM_THREADS ?= $(THREADS)
# Threads that wait spin for a moment only: for ever, they take the cores from whatever else runs; not at all, these
# small problems wait for them to wake.
export GOMP_SPINCOUNT ?= 10000

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
# The version that requirements.lock was resolved with comes first. PYTHON=/path/to/python overrides the search.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3)

.PHONY: help install doctor replicate verify test lab bench docs lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile
	@echo "variables: PROFILE=$(PROFILE) ONLY=$(ONLY) JOBS=$(JOBS) THREADS=$(THREADS) PYTHON=$(PYTHON)"

# A changed lock builds the environment anew, so that nothing older lingers in it. The first call of pip refuses files
# with other digests than requirements.sha256; the second adds the build of torch for this machine, and what that build
# needs. pip would compile with one core; the few files that do not compile are templates and old syntax, which pip
# passes over, too.
$(VENV)/.locked: requirements.lock requirements.sha256
	@found=; for candidate in $(PYTHONS); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found=$$candidate; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "ccprune needs Python 3.11 or newer; tried: $(PYTHONS)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$found has no venv module (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; fi; \
	echo "creating $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)
	$(PIP) install --no-compile --no-deps --require-hashes -r requirements.sha256
	$(PIP) install --no-compile -r requirements.lock
	$(PY) -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

# No dependencies and no build isolation: all that is used is what the lock pins. Each notebook runs in a process of its
# own, which imports most of both packages: where Python is told to write no bytecode, each would compile them anew.
$(VENV)/.installed: $(VENV)/.locked pyproject.toml replication/pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e . -e replication
	$(PY) -m compileall -qq ccprune replication
	@touch $@

install: $(VENV)/.installed ## create .venv with the pinned packages, the library and the replication

replicate: $(VENV)/.installed ## run the notebooks and write results, reports and verdicts
	$(VENV)/bin/ccprune replicate --profile $(PROFILE) --jobs $(JOBS) --keep-going $(ONLY)

doctor: $(VENV)/.installed ## check the installation and list what each missing dependency disables
	@$(VENV)/bin/ccprune doctor

verify: $(VENV)/.installed ## check the committed results and re-run a sample of them
	$(VENV)/bin/ccprune verify --jobs $(JOBS)

# Three workers for two cores, because many tests wait for processes that they start; with one thread each, because with
# more threads than cores small kernels wait for one another. The tests of a file stay together, and files begin in the
# order of tests/conftest.py, the longest first.
test: THREADS = 1
test: $(VENV)/.installed ## run all tests
	$(PY) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

# The root is the project, so that links out of notebooks/ open. With these settings its makers are not asked for news,
# nor the reader whether to, and pages are shown as text rather than as their source.
lab: $(VENV)/.installed ## open JupyterLab on the first notebook
	$(PY) -m jupyter lab --ServerApp.root_dir=. --LabApp.app_settings_dir=scripts/jupyterlab notebooks/00_start_here.ipynb

bench: $(VENV)/.installed ## run all benchmarks and write their results, page and figure
	$(PY) benchmarks/run.py

docs: $(VENV)/.installed ## build the site into build/site
	CCPRUNE_SLIDERS=1 NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build
	@echo "build/site/index.html"

lint: $(VENV)/.installed ## check style with ruff, public types with mypy, and imports between the parts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache

clean: ## remove .venv, build folders and caches, but no results or reports
	rm -rf $(VENV) build dist ccprune.egg-info replication/*.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find ccprune replication tests scripts benchmarks notebooks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
