# The verbs of the project. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# What app/requirements.lock installs, by import name.
SERVICE_PACKAGES := argon2 blinker click flask granian itsdangerous jinja2 jwt markupsafe sqlalchemy werkzeug

.DEFAULT_GOAL := help
.PHONY: help setup demo check lint types test e2e scenarios image push lab docs lock clean

help: ## List the verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Create .venv from requirements.lock

$(READY): requirements.lock pyproject.toml .ci/python-check
	@sh .ci/python-check $(PYTHON)
	@echo "Installing $$(grep -c == requirements.lock) pinned packages into $(VENV) (a minute or two) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@# Byte code is compiled at first import instead: half the installation's time. The service's
	@# is compiled here, because a task would pay for it out of its quarter of a core.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@cd $(VENV)/lib/python3*/site-packages && ../../../bin/python -m compileall -q -j 0 $(SERVICE_PACKAGES)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## The whole flow on the local region: deploy, load, analyse, apply, verify
	@$(BIN)/runbook demo

check: lint types test e2e ## Lint, types, unit tests, end-to-end tests

lint: $(READY) ## Style, imports, Dockerfile, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/cfn-lint

types: $(READY) ## Type check
	$(BIN)/mypy

test: $(READY) ## Unit tests
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not e2e and not scenario"

e2e: $(READY) ## End-to-end tests on a local region of their own
	$(BIN)/pytest -q -n 2 --dist loadfile -m "e2e and not scenario"

scenarios: $(READY) ## Long scenarios: the whole demo, judged
	$(BIN)/pytest -q -m scenario

image: $(READY) ## Build the service's image (TARGET=runbook: the runbook's; BASE=NAME@sha256:...)
	$(BIN)/runbook image build --target $(or $(TARGET),service) $(if $(BASE),--base $(BASE))

push: $(READY) ## Send the image to an environment's registry: make push ENV=dev [TARGET=runbook]
	$(BIN)/runbook image push --env $(or $(ENV),local) --target $(or $(TARGET),service) $(if $(DRY_RUN),--dry-run)

lab: $(READY) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

docs: $(READY) ## Write docs/reference.md from the code
	$(BIN)/python docs/generate.py

lock: $(READY) ## Make requirements.lock anew from requirements.in
	$(BIN)/uv pip compile requirements.in --override overrides.txt --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file requirements.lock
	$(BIN)/uv pip compile app/requirements.in -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file app/requirements.lock

clean: ## Remove .venv and caches (runs and region state stay)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
