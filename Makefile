# SageMaker serving patterns. `make demo` and `make test` are the two to start with.
PYTHON  ?= python3
PATTERN ?= realtime
ENV     ?= dev
# processes of `make test`: most tests wait for others most of the time
TEST_PROCESSES ?= 3
# AWS seconds in one of ours, for demos: a bake of five minutes takes five seconds
TIME_SCALE ?= 60
PY      := .venv/bin/python
export PATH := $(abspath .venv/bin):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test synth lint snapshots bench down clean pins sdk generated

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## set up what is missing: virtual environment, Node.js, CDK CLI
	@$(PYTHON) tools/setup_environment.py

demo: setup ## deploy PATTERN=realtime into the sandbox and show it working
	@$(PY) -m sandbox up --time-scale $(TIME_SCALE)
	@$(PY) -m sandbox deploy $(PATTERN)
	@$(PY) -m sandbox run -- $(PY) -m client demo $(PATTERN)

test: setup lint ## everything: lint, types, unit, snapshots, compliance, end to end
	@$(PY) -m pytest -n $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder

synth: setup ## write every template to cdk.out (ENV=dev or prod)
	@.venv/bin/cdk synth --quiet -c env=$(ENV)
	@echo "templates are in cdk.out"

lint: setup ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

snapshots: setup ## accept the templates as they are now
	@$(PY) -m pytest tests/snapshots --snapshot-update

bench: setup ## measure every speed claim, as ratios in one run
	@$(PY) -m benchmarks

down: ## stop the sandbox and everything in it
	@if [ -x $(PY) ]; then $(PY) -m sandbox down; fi

clean: down ## also remove all that setup and synth made
	rm -rf .venv node_modules cdk.out .sandbox .cache

pins: setup ## resolve requirements*.in anew
	@for name in requirements requirements-dev requirements-sagemaker; do \
	  $(PY) -m uv pip compile -q --upgrade --python-version 3.11 --no-header $$name.in -o $$name.txt; done

sdk: setup ## set up the SageMaker SDK in an environment of its own (1 GB), for `generated` and the tests of what it writes
	@$(PY) -m uv venv --quiet --allow-existing .cache/sdk
	@$(PY) -m uv pip install --quiet --python .cache/sdk/bin/python -r requirements-sagemaker.txt

generated: sdk ## write the committed tables anew: instance types, framework images, the pipeline
	@$(PY) tools/generate_instances.py
	@.cache/sdk/bin/python tools/generate_images.py
	@.cache/sdk/bin/python model_code/ml_pipeline/definition.py
