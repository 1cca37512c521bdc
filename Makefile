# `make demo` and `make test` are all that a newcomer needs; the rest is for those who change things.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
JOBS ?= 2
THREADS ?= $(shell expr \( $$(getconf _NPROCESSORS_ONLN) + $(JOBS) - 1 \) / $(JOBS))

.PHONY: demo repro test faults lint format bench results lock audit clean

demo: repro ## Train on the built-in sample, start everything, Ctrl-C stops it.
	celflow up $(UP)

repro: .venv/installed ## Run what changed of the pipeline, $(JOBS) models at a time.
	dvc repro split
	dvc stage list --name-only | sed -n s/^register@//p | \
		OMP_NUM_THREADS=$(THREADS) TF_NUM_INTRAOP_THREADS=$(THREADS) \
		xargs -P $(JOBS) -I {} dvc --wait-for-lock repro --single-item \
		train@{} evaluate@{} export@{} register@{}

test: .venv/installed ## The whole test suite, in two processes.
	pytest -n 2 --no-loadscope-reorder

faults: .venv/installed ## The tests of faults and bad data, with many more inputs.
	CELFLOW_FAULTS=1 pytest -n 2 tests/faults

lint: .venv/installed ## Formatter, linter, types.
	ruff format --check .
	ruff check .
	lint-imports
	mypy

format: .venv/installed
	ruff format .
	ruff check --fix .

bench: .venv/installed ## Every benchmark, each a table.
	for script in $(filter-out benchmarks/results.py benchmarks/sketchify.py benchmarks/enroll.py,$(wildcard benchmarks/*.py)); do \
		python $$script || exit 1; done

results: .venv/installed ## Train and measure on real pictures (CELFLOW_REAL_DATA), write docs/results.md; hours.
	python -m benchmarks.results $(RESULTS)

lock: ## Write requirements.lock anew from pyproject.toml (needs uv).
	uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header \
		--extra dev pyproject.toml --output-file requirements.lock

audit: ## Known vulnerabilities of what requirements.lock pins (asks api.osv.dev).
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/pip install --quiet pip-audit
	.cache/audit/bin/pip-audit --strict --no-deps --disable-pip --vulnerability-service osv \
		--requirement requirements.lock

clean: ## Remove what the pipeline and the servers made; the installed environment stays.
	rm -rf data models exports registered checkpoints plots \
		served logs mlflow.db* mlartifacts .dvc/cache .dvc/tmp .cache

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
		|| { echo "celflow needs Python 3.10, 3.11 or 3.12: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --requirement requirements.lock
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@
