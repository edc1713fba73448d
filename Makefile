# SageMaker serving patterns. `make demo` and `make test` are the two to start with.
PYTHON  ?= python3
PATTERN ?= realtime
ENV     ?= dev
# processes of `make test`: most tests wait for others most of the time
TEST_PROCESSES ?= 3
# AWS seconds in one of ours, for demos: a bake of five minutes takes five seconds
TIME_SCALE ?= 60
# what `make koelectra` exports: the workshop's model from the hub, or a directory; NSMC's labels are 0 and 1
MODEL   ?=
NSMC_LABELS := negative,positive
LABELS  ?= $(if $(MODEL),,$(NSMC_LABELS))
OUTPUT  ?= .cache/koelectra-model
EXPORT   = model_code/koelectra/export.py $(if $(MODEL),--model "$(MODEL)") \
           $(if $(LABELS),--labels "$(LABELS)") --output "$(OUTPUT)"
PY      := .venv/bin/python
export PATH := $(abspath .venv/bin):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test koelectra synth lint snapshots bench down clean pins sdk generated

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## set up what is missing: virtual environment, Node.js, CDK CLI
	@$(PYTHON) tools/setup_environment.py

demo: setup ## deploy PATTERN=realtime into the sandbox and show it working
	@$(PY) -m sandbox up --time-scale $(TIME_SCALE)
	@$(PY) -m sandbox deploy $(PATTERN)
	@$(PY) -m sandbox run -- $(PY) -m client demo $(PATTERN)

test: setup lint ## everything: lint, types, unit, snapshots, compliance, end to end
	@$(PY) tools/setup_koelectra.py
	@$(PY) -m pytest -n $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder

koelectra: setup ## export the workshop's transformer, or MODEL=directory, to OUTPUT=.cache/koelectra-model; deploy and ask it
	@PYTHONPATH=model_code/shared $(PY) $(EXPORT) --check
	@$(PY) tools/setup_koelectra.py
	@PYTHONPATH=model_code/shared .cache/koelectra/bin/python $(EXPORT)
	@$(PY) -m sandbox up --time-scale $(TIME_SCALE)
	@$(PY) -m sandbox deploy realtime -c patterns.realtime.model=koelectra -c patterns.realtime.model.directory=$(OUTPUT)
	@$(PY) -m sandbox run -- $(PY) -m client invoke realtime "불후의 명작입니다. 눈물이 앞을 가려요" \
	  "저런...5점 만점에 1점 주기도 힘들어요."

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
	@# as for macOS: on Linux, PyPI's torch would pin the packages of CUDA too
	@MACOSX_DEPLOYMENT_TARGET=14.0 $(PY) -m uv pip compile -q --upgrade --python-version 3.11 \
	  --python-platform macos --no-header requirements-koelectra.in -o requirements-koelectra.txt

sdk: setup ## set up the SageMaker SDK in an environment of its own (1 GB), for `generated` and the tests of what it writes
	@$(PY) -m uv venv --quiet --allow-existing .cache/sdk
	@$(PY) -m uv pip install --quiet --python .cache/sdk/bin/python -r requirements-sagemaker.txt

generated: sdk ## write the committed tables anew: instance types, framework images, the pipeline
	@$(PY) tools/generate_instances.py
	@.cache/sdk/bin/python tools/generate_images.py
	@.cache/sdk/bin/python model_code/ml_pipeline/definition.py
