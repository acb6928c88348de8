SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := flows tasks migrations deployments tests
SCENARIO ?= release

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults lint typecheck imports check apply format bench releases lock all

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  %-11s %s\n' "$$name" "$$text"; done

# The lock is a constraint too: pip looks for `sqlalchemy[asyncio]`, which Prefect asks for, apart from `sqlalchemy`, and would take the newest.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Pilotage needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`. Install it, or name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment. Install its venv module (Debian, Ubuntu: apt-get install python3-venv), then run make again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock --constraint requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.installed ## Watch a release on the local platform (SCENARIO=bad-migration|app-crash|data-corruption|killed|quiet, KEEP=1)
	$(BIN)/pilotage local demo --scenario $(SCENARIO) $(if $(filter-out 0,$(KEEP)),--keep)

# Compiled once: where Python may write no bytecode, each process that a test starts would compile all of it again.
test: $(VENV)/.installed ## Run the tests, on real PostgreSQL clusters
	$(BIN)/python -m compileall -q flows tasks migrations deployments
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-faults: $(VENV)/.installed ## Every generated fault; goes on where it was cut off (FRESH=1 starts anew, PART=1/4, FAULTS=seed:how-many)
	FAULTS=$(or $(FAULTS),all) PART=$(PART) RESUME=$(if $(filter-out 0,$(FRESH)),,1) $(BIN)/python -m pytest tests/faults/generated tests/faults/test_worker.py --numprocesses 4 --dist worksteal

lint: $(VENV)/.installed ## Look for mistakes and for format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.installed ## Check the types, strictly
	$(BIN)/pyright

imports: $(VENV)/.installed ## Check which room imports which
	$(BIN)/lint-imports

check: $(VENV)/.installed ## Check that the revisions are in order, return, and build what the models say
	$(BIN)/pilotage check

apply: $(VENV)/.installed ## Apply the revisions to the database that DATABASE_URL names
	$(BIN)/pilotage apply --target heads

format: $(VENV)/.installed ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed ## Measure revisions, seeding (SIZE=medium or large), stalls of clients, branches, restores, releases and rollbacks
	$(BIN)/python tests/bench

releases: $(VENV)/.installed ## Release each revision alone, under traffic, over seeded rows: half an hour (FIRST and LAST bound it)
	$(BIN)/python tests/bench/releases.py

lock: ## Pin the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock

all: lint typecheck imports test ## Everything that CI runs
