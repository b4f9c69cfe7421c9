# The two commands: `make reproduce` and `make test`. All of it calls `runner` and `analysis`, which also work alone.
PROFILE ?= laptop
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RAY := $(VENV)/.ray

.PHONY: help reproduce site serve test bench lint clean
help:
	@echo "make reproduce [PROFILE=smoke|laptop|paper]   train, analyse and build the site (laptop unless named)"
	@echo "               [POST=slug]                    only what this post needs"
	@echo "               [WITH=experiment]              train it, too, however long it takes"
	@echo "make site                                     build the site from the published logs, without training"
	@echo "make serve                                    show it on this machine, with live reload"
	@echo "make test                                     pass the tests"
	@echo "make bench                                    measure the training step, logs, the tokeniser, sampling and probes"
	@echo "make lint                                     check the style and the types of the code"
	@echo "make clean                                    remove what can be made again, but no runs"

# An environment from the lock file. It is made again when the lock changes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); name a Python from 3.11 to 3.13: make PYTHON=python3.11 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What the tests need on top: Ray, for sweeps over several machines.
$(RAY): requirements-ray.lock $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements-ray.lock
	@touch $@

reproduce: $(READY)
	@$(BIN)/analysis reproduce --profile $(PROFILE) $(POST:%=--post %) $(WITH:%=--with %)

site: $(READY)
	@$(BIN)/analysis build

serve: $(READY)
	@$(BIN)/analysis serve

test: $(RAY)
	@$(BIN)/runner data
	@$(BIN)/pytest -n 2 --dist loadgroup

bench: $(READY)
	@$(BIN)/python -m benchmarks.step
	@$(BIN)/python -m benchmarks.log
	@$(BIN)/python -m benchmarks.tokens
	@$(BIN)/python -m benchmarks.sample
	@$(BIN)/python -m benchmarks.probes

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

clean:
	rm -rf build site/* .pytest_cache .ruff_cache
