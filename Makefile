# Everything a newcomer, a contributor or a build server runs. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test prove check fmt bench lock install

VENV := .venv/bin
PYTEST := $(VENV)/pytest
# Where this is set, as in many images, every process of every test would compile all its modules again.
unexport PYTHONDONTWRITEBYTECODE
PARALLEL := --numprocesses 2 --dist loadscope
UV_COMPILE := $(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade)

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.runtime ## Start the demonstration world and walk through it (ONCE=1: stop when every step has held)
	@exec $(VENV)/gateway demo $(if $(ONCE),--once)

# Both runs happen whatever the first one says, so that one look shows both. What touches no database, and what drives a
# browser, runs once.
test: .venv/.development ## Run the unit, conformance and journey tests on SQLite and on PostgreSQL
	@scripts/system-packages.sh
	@status=0; \
	echo "== Tests on SQLite"; \
	$(PYTEST) $(PARALLEL) -m 'not prove' --database sqlite || status=1; \
	echo "== Tests on PostgreSQL"; \
	$(PYTEST) $(PARALLEL) -m 'not prove and not browser' --database postgresql --only-with-database || status=1; \
	exit $$status

prove: .venv/.development ## Run the long proofs (kills, faults, contention) on SQLite and on PostgreSQL
	@scripts/system-packages.sh --prove
	@status=0; \
	echo "== Proofs on SQLite"; \
	$(PYTEST) -m prove --durable --database sqlite || status=1; \
	echo "== Proofs on PostgreSQL"; \
	$(PYTEST) -m prove --durable --database postgresql --only-with-database || status=1; \
	exit $$status

check: .venv/.development ## Lint, types, import layers, policies, documents; changes nothing
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/python scripts/check_dependencies.py
	$(VENV)/python scripts/check_tracked_files.py
	$(VENV)/python scripts/check_readme.py
	$(VENV)/gateway policy validate
	$(VENV)/gateway policy test

fmt: .venv/.development ## Format the code and mend what ruff can mend
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

bench: .venv/.development ## Measure the gateway beside the machine's own floor
	$(VENV)/python -m benchmarks
	$(VENV)/python -m benchmarks.attachment_memory

lock: .venv/.development ## Remake the locked requirements from pyproject.toml (UPGRADE=1: take newer versions)
	$(UV_COMPILE) pyproject.toml --extra build --output-file requirements.txt
	$(UV_COMPILE) pyproject.toml --extra build --extra dev --constraint requirements.txt \
		--output-file requirements-dev.txt

install: .venv/.development ## Make .venv with everything for development

.venv/.runtime: requirements.txt pyproject.toml scripts/install.sh
	@scripts/install.sh requirements.txt
	@touch $@

# What development needs includes what running needs.
.venv/.development: requirements-dev.txt pyproject.toml scripts/install.sh
	@scripts/install.sh requirements-dev.txt
	@touch $@ .venv/.runtime
