# The verbs of the project. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Set in many containers. Without byte code every `runbook` command would compile its packages anew:
# three times as long to start, and the end-to-end tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

# What app/requirements.lock installs, by import name.
SERVICE_PACKAGES := alembic argon2 blinker click flask granian itsdangerous jinja2 jwt limits markupsafe obstore \
	psycopg psycopg_binary pydantic pydantic_core pythonjsonlogger sqlalchemy werkzeug

.DEFAULT_GOAL := help
.PHONY: help setup demo check lint checkov types test e2e scenarios image push lab bench docs lock clean \
	create change approve delete outputs status diff drift last-create-failure last-update-failure

help: ## List the verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: $(READY) ## Create .venv from requirements.lock

$(READY): requirements.lock pyproject.toml .ci/python-check
	@sh .ci/python-check $(PYTHON)
	@echo "Installing $$(grep -c == requirements.lock) pinned packages into $(VENV) (a minute or two) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@# Byte code of everything would take half the installation's time. The service's is compiled
	@# here, because a task would pay for it out of its quarter of a core, and at last what `runbook`
	@# imports: where PYTHONDONTWRITEBYTECODE is set, every command would pay for it.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@cd $(VENV)/lib/python3*/site-packages && ../../../bin/python -m compileall -q -j 0 $(SERVICE_PACKAGES)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -W ignore .ci/import_all.py runbook local_region
	@touch $@

demo: $(READY) ## The whole flow on the local region: deploy, load, analyse, apply, verify
	@$(BIN)/runbook demo

check: lint types test e2e ## Lint, types, unit tests, end-to-end tests

lint: $(READY) checkov ## Style, imports, Dockerfile, workflows, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline .github/workflows
	$(BIN)/cfn-lint

# checkov pins a hundred packages of its own, so it has an environment of its own.
CHECKOV := .venv-checkov

$(CHECKOV)/.ready: .ci/checkov.lock .ci/python-check
	@sh .ci/python-check $(PYTHON)
	@echo "Installing checkov's $$(grep -c == .ci/checkov.lock) pinned packages into $(CHECKOV) ..." >&2
	@$(PYTHON) -m venv --clear $(CHECKOV)
	@$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r .ci/checkov.lock
	@touch $@

checkov: $(CHECKOV)/.ready ## Security rules over the templates; what is skipped says why, beside the resource
	$(CHECKOV)/bin/checkov --config-file .ci/checkov.yaml

types: $(READY) ## Type check
	$(BIN)/mypy

test: $(READY) ## Unit tests; with ENV=... ask that environment's endpoint
ifeq ($(origin ENV),command line)
	@$(BIN)/runbook test $(ENV) $(DRY)
else
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not e2e and not scenario"
endif

SLOWEST := --durations 12 --durations-min 10

e2e: $(READY) ## End-to-end tests on a local region of their own
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(SLOWEST) -m "e2e and not scenario"

scenarios: $(READY) ## Long scenarios; last the whole demo, judged, with the machine to itself
	$(BIN)/pytest -q -n 2 --dist loadfile $(SLOWEST) -m scenario --ignore tests/scenarios
	$(BIN)/pytest -q -m scenario tests/scenarios

image: $(READY) ## Build the service's image (TARGET=runbook: the runbook's; BASE=NAME@sha256:...)
	$(BIN)/runbook image build --target $(or $(TARGET),service) $(if $(BASE),--base $(BASE)) $(DRY)

push: $(READY) ## Send the image to an environment's registry: make push ENV=dev [TARGET=runbook]
	$(BIN)/runbook image push --env $(or $(ENV),local) --target $(or $(TARGET),service) $(DRY)

# The verbs of an environment: ENV=dev, and NAME=... where a change is meant. LAYERS="registry data"
# names some layers only. DRY_RUN=1 says what would be done and does nothing. Each is the `runbook` command of the same name.
DRY  = $(if $(filter-out 0,$(DRY_RUN)),--dry-run)
WHERE = $(or $(ENV),$(error which environment? ENV=local, say))
WHAT = $(or $(NAME),$(error which change? NAME=..., a name of your choice))
GIVEN = $(if $(DIGEST),--approve $(DIGEST)) $(DRY)

create: $(READY) ## Create the missing stacks: make create ENV=... [DIGEST=...] [IMAGE=...]
	@$(BIN)/runbook create $(WHERE) $(LAYERS) $(if $(IMAGE),--image $(IMAGE)) $(GIVEN)

change: $(READY) ## Review what would change: make change ENV=... NAME=... [IMAGE=...]
	@$(BIN)/runbook change $(WHERE) $(WHAT) $(LAYERS) $(if $(IMAGE),--image $(IMAGE)) $(DRY)

approve: $(READY) ## Execute exactly that: make approve ENV=... NAME=...
	@$(BIN)/runbook approve $(WHERE) $(WHAT) $(if $(DIGEST),--digest $(DIGEST)) $(DRY)

delete: $(READY) ## Delete an environment's stacks: make delete ENV=... [DIGEST=...]
	@$(BIN)/runbook delete $(WHERE) $(LAYERS) $(GIVEN)

outputs: $(READY) ## Every output as JSON, with ServiceUrl
	@$(BIN)/runbook outputs $(WHERE) $(DRY)

status: $(READY) ## Every stack's status
	@$(BIN)/runbook status $(WHERE) $(DRY)

diff: $(READY) ## Configuration against deployed; exit code 1 when they differ
	@$(BIN)/runbook diff $(WHERE) $(LAYERS) $(DRY)

drift: $(READY) ## What was changed by hand; exit code 1 when anything was
	@$(BIN)/runbook drift $(WHERE) $(DRY)

last-create-failure: $(READY) ## Why the last creation failed, root cause first
	@$(BIN)/runbook last-create-failure $(WHERE) $(DRY)

last-update-failure: $(READY) ## Why the last update failed, root cause first
	@$(BIN)/runbook last-update-failure $(WHERE) $(DRY)

lab: $(READY) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

bench: $(READY) ## Benchmarks, on an idle machine
	$(BIN)/python bench/service.py
	$(BIN)/python bench/load.py
	$(BIN)/python bench/lab.py

docs: $(READY) ## Write docs/reference.md, alarms.md and architecture.md from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/from_templates.py

lock: $(READY) ## Make the lock files anew from their .in files
	$(BIN)/uv pip compile requirements.in --override overrides.txt --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file requirements.lock
	$(BIN)/uv pip compile app/requirements.in -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file app/requirements.lock
	$(BIN)/uv pip compile runbook/requirements.in -c requirements.lock --override overrides.txt --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file runbook/requirements.lock
	$(BIN)/uv pip compile .ci/checkov.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file .ci/checkov.lock

clean: ## Remove .venv and caches (runs and region state stay)
	rm -rf $(VENV) $(CHECKOV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
