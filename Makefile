# The main targets are `make reproduce` and `make test`. They call `runner` and `analysis`, which also work without make.
PROFILE ?= laptop
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RAY := $(VENV)/.ray

.PHONY: help reproduce site pages serve test bench lint clean
help:
	@echo "make reproduce [PROFILE=smoke|laptop|paper]   train, analyse and build the site (default: laptop)"
	@echo "               [POST=slug]                    only this post and what it needs"
	@echo "               [SEEDS=number|all]             so many seeds of each experiment (default: as its file says)"
	@echo "               [WITH=experiment]              train this experiment even if it takes days"
	@echo "make site                                     build the site from the published logs, without training"
	@echo "make pages                                    build it, and look at every page in a browser"
	@echo "make serve                                    serve it on this machine, with live reload"
	@echo "make test                                     run the tests"
	@echo "make bench                                    time the training step, small models, a grid, logs, the tokenizer, sampling, probes"
	@echo "make lint                                     check the style of the code and the types of runner"
	@echo "make clean                                    remove build outputs and caches; runs stay"

# The environment from the lock file; updated when the lock file changes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
		{ is=$$($(PYTHON) -V 2>/dev/null) || is='no Python'; \
		echo "$(PYTHON) is $$is: name a Python from 3.11 to 3.13, make PYTHON=python3.11 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The environment with Ray, which sweeps over several machines and their tests need.
$(RAY): requirements-ray.lock $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements-ray.lock
	@touch $@

reproduce: $(READY)
	@$(BIN)/analysis reproduce --profile $(PROFILE) $(POST:%=--post %) $(SEEDS:%=--seeds %) $(WITH:%=--with %)

site: $(READY)
	@$(BIN)/analysis build

pages: site
	@$(BIN)/pytest tests/site/test_browser.py tests/site/test_published.py --site site

serve: $(READY)
	@$(BIN)/analysis serve

test: $(RAY)
	@$(BIN)/runner data
	@$(BIN)/pytest -n 2 --dist loadgroup

bench: $(READY)
	@$(BIN)/python -m benchmarks.step
	@$(BIN)/python -m benchmarks.small
	@$(BIN)/python -m benchmarks.log
	@$(BIN)/python -m benchmarks.tokens
	@$(BIN)/python -m benchmarks.sample
	@$(BIN)/python -m benchmarks.probes
	@$(BIN)/python -m benchmarks.grid

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

clean:
	rm -rf build site/* .mypy_cache .pytest_cache .ruff_cache
