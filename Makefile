# `make` alone lists the targets. Nothing needs a database server or Docker; test-clients needs Node.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# What a run starts again and again is not to be compiled each time, whatever the shell forbids.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PIP := PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
# The newest Python of 3.11 to 3.14: for these there are ready-made packages of everything.
CANDIDATES := python3.14 python3.13 python3.12 python3.11 python3 python
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(shell $(name) -c '$(USABLE)' 2>/dev/null && echo $(name))))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Create .venv with the locked dependencies and the project

$(STAMP): requirements.lock pyproject.toml setup.py
	@if [[ -z "$(PYTHON)" ]]; then \
	  echo "This needs Python 3.11 to 3.14 with venv (on Debian and Ubuntu: apt install python3-venv)."; \
	  exit 1; \
	fi
	@echo "Setting up .venv with $$($(PYTHON) --version) (once; a minute or two)"
	@[[ -x $(BIN)/python ]] || $(PYTHON) -m venv $(VENV)
	@{ $(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements.lock \
	  && $(PIP) install --no-deps --no-build-isolation --editable . ; \
	} > $(VENV)/set-up.log 2>&1 || { cat $(VENV)/set-up.log; exit 1; }
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Tell the whole story, then stay up for a look (ARGS="--once --json")
	@$(BIN)/l2c demo $(ARGS)

.PHONY: test
test: $(STAMP) ## Run the whole test suite (ARGS="-k name")
	@$(BIN)/pytest $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## Kill the demo and a bill run at twenty random moments each and compare the books
	@$(BIN)/pytest -n 0 -m slow tests/e2e tests/billing $(ARGS)

.PHONY: chaos-sync
chaos-sync: $(STAMP) ## Change both sides in all weathers, with sync whole and with parts of it off
	@$(BIN)/pytest -n 0 -m slow tests/sync_both/test_chaos_run.py $(ARGS)

.PHONY: laws
laws: $(STAMP) ## Try the laws of prices, charges and bills on 10,000 made-up cases each
	@$(BIN)/pytest -n 2 --hypothesis-profile=laws tests/catalog/test_price_laws.py \
		tests/simulation tests/billing/test_compose.py tests/flows/test_deal_estimate_law.py $(ARGS)

.PHONY: test-soql
test-soql: $(STAMP) ## Compare 10,000 random SOQL queries with the independent evaluator
	@$(BIN)/pytest -m slow tests/sandbox/soql $(ARGS)

JSFORCE := tests/clients/jsforce
JSFORCE_STAMP := $(JSFORCE)/node_modules/.package-lock.json

.PHONY: test-clients
test-clients: $(STAMP) $(JSFORCE_STAMP) ## Run jsforce against the local org (needs Node.js and npm)
	@$(BIN)/pytest -n 0 -m slow tests/clients $(ARGS)

$(JSFORCE_STAMP): $(JSFORCE)/package.json $(JSFORCE)/package-lock.json
	@for tool in node npm; do command -v $$tool >/dev/null || { \
	  echo "make test-clients needs $$tool, which is not here: install Node.js 20.14 or later with npm."; \
	  exit 1; \
	}; done
	@echo "Installing jsforce into $(JSFORCE)/node_modules (once)"
	@cd $(JSFORCE) && npm ci --loglevel=error
	@touch $@

.PHONY: test-starts
test-starts: $(STAMP) ## Run the benchmark of the local org small, Bulk loads and starts included
	@$(BIN)/pytest -n 0 -m slow tests/sandbox/limits $(ARGS)

.PHONY: test-routes
test-routes: $(STAMP) ## Send 5,000 random requests to the routes of the local org
	@$(BIN)/pytest -n 0 -m slow tests/sandbox/rest $(ARGS)

.PHONY: check
check: $(STAMP) ## Check format, lint, types, import contracts and architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -n 0 tests/architecture

.PHONY: format
format: $(STAMP) ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: screenshot
screenshot: $(STAMP) ## Make the README's picture of the console from the demo
	@$(BIN)/python docs/make_screenshot.py

.PHONY: test-wheel
test-wheel: $(STAMP) ## Build the wheel, install it into an empty environment and run it
	@$(BIN)/pytest -n 0 -m slow tests/architecture/test_wheel.py

.PHONY: config-example
config-example: $(STAMP) ## Write config.example.yaml from the settings classes
	@$(BIN)/python -m connector.config > config.example.yaml.new
	@mv config.example.yaml.new config.example.yaml

.PHONY: freeze-schema
freeze-schema: $(STAMP) ## Write the first migration from the table definitions (before the first release)
	@$(BIN)/python -m connector.store.migrations.freeze

.PHONY: proto
proto: $(STAMP) ## Write the Pub/Sub messages of the local org and of the connector from their pubsub.proto
	@# A pool of its own for each: another client in the same process may hold the same names.
	@for folder in sandbox/events connector/adapters/salesforce; do \
	  $(BIN)/python -m grpc_tools.protoc -I $$folder --python_out=$$folder/generated \
	    --pyi_out=$$folder/generated $$folder/pubsub.proto; \
	  sed -i.bak 's/_descriptor_pool.Default()/_descriptor_pool.DescriptorPool()/' \
	    $$folder/generated/pubsub_pb2.py && rm $$folder/generated/pubsub_pb2.py.bak; \
	done

.PHONY: lock
lock: $(STAMP) ## Resolve the dependencies anew into requirements.lock
	@$(BIN)/pip-compile --quiet --upgrade --extra dev --generate-hashes --strip-extras --allow-unsafe \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --no-emit-options --output-file requirements.lock pyproject.toml
	@sed -i.bak '/^# The following packages/d' requirements.lock && rm requirements.lock.bak
