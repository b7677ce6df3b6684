# Everything a person or CI does with this checkout. `make` lists the targets; the first one that needs it runs the setup.
# PYTHON names the interpreter to build .venv with; ARGS goes to pytest, the demo and the daemon as it is.
PYTHON ?= python3
ARGS ?=
# Test files side by side: most of their time is waiting. 0 runs them in one process, as a debugger wants it.
WORKERS ?= 3
BIN := .venv/bin
ANY_PYTHON := $(firstword $(wildcard $(BIN)/python) $(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help setup lint format test test-unit demo demo-clean chaos bench bench-page bench-scale bench-controls run services services-down docs lock clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) \
	    | while IFS="$$(printf '\t')" read -r target about; do printf '  %-14s %s\n' "$$target" "$$about"; done

setup: .venv/.ready .run/services.ready ## make .venv; find or install RabbitMQ and PostgreSQL (Debian, Ubuntu: as root)

.venv/.ready: requirements.lock pyproject.toml
	@PYTHON='$(PYTHON)' sh deploy/setup.sh venv

.run/services.ready: | .venv/.ready
	@sh deploy/setup.sh services

lint: .venv/.ready ## check style, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready ## rewrite the code in the format that lint checks
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.run/tools.ready: | .venv/.ready
	@sh deploy/setup.sh tools

test: setup .run/tools.ready ## run all tests, against services that the tests start themselves
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-unit: .venv/.ready ## run the tests that need no service
	$(BIN)/pytest -n $(WORKERS) --dist loadfile tests/unit $(ARGS)

demo: setup ## see it work: sandbox exchange, real broker and database, orders, retries, a crash
	$(BIN)/python -m deploy.demo $(ARGS)

DURATION ?= 180
SEED ?=

chaos: setup ## real parts, all of them failing, while orders flow; then check every promise (DURATION, SEED)
	@$(BIN)/python -m tests.chaos --duration $(DURATION) $(if $(SEED),--seed $(SEED)) $(ARGS)

demo-clean: ## stop and remove whatever a demo left
	@$(ANY_PYTHON) deploy/local_services.py down --name demo --discard
	@if [ -x $(BIN)/python ] && [ -e deploy/demo.py ]; then $(BIN)/python -m deploy.demo --clean; fi

.run/bench-venv/.ready: tests/bench/requirements.lock | .venv/.ready
	@sh deploy/setup.sh bench

bench: setup .run/bench-venv/.ready ## how fast it is, beside the floor and beside others; .run/bench.json (ARGS=--help)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-page: .venv/.ready ## write what it saw last into the README
	@$(BIN)/python -m tests.bench.page

bench-scale: setup ## how many orders a second 1, 2 and 4 replicas place, with an exchange that takes its time
	$(BIN)/python -m tests.bench.scale $(ARGS)

bench-controls: setup ## what controls cost; how fast a change and the kill switch reach several workers
	@$(BIN)/python -m tests.bench.controls $(ARGS)

run: .venv/.ready ## run the daemon against what the environment names
	$(BIN)/trade-worker run $(ARGS)

services: setup ## start RabbitMQ and PostgreSQL for development; prints export lines
	@$(BIN)/python deploy/local_services.py up --detach --name dev

services-down: ## stop them; their data stays for the next start
	@$(ANY_PYTHON) deploy/local_services.py down --name dev

docs: .venv/.ready ## write the generated tables and schemas anew
	$(BIN)/python -m deploy.generate_docs

lock: ## choose the newest allowed versions of all dependencies and write requirements.lock
	@PYTHON='$(ANY_PYTHON)' sh deploy/lock.sh

clean: ## stop all services of this checkout; remove .venv, .run and caches
	@if [ -d .run ]; then $(ANY_PYTHON) deploy/local_services.py down --all --discard; fi
	rm -rf .venv .run .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
