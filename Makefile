# One-line doors to scripts/. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-all lint format bench wheel clean

PYTHON_BIN := .venv/bin/python
JOBS := $(shell nproc)
NO_STDIN := < /dev/null

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: ## system packages (apt) and .venv; does nothing when they are there
	@scripts/setup.sh $(NO_STDIN)

build: setup ## build/ (C++ core, CLI, tests, Python module) and the editable install in .venv
	@scripts/build.sh $(NO_STDIN)

demo: build ## export a real sentence encoder, static and dynamic, and show what was written
	@$(PYTHON_BIN) demo/sentence_encoder.py

test: build ## C++ tests (ctest), then Python tests (pytest)
	@ctest --test-dir build --output-on-failure --parallel $(JOBS)
	@OMP_NUM_THREADS=1 $(PYTHON_BIN) -m pytest --numprocesses $(JOBS)

test-all: test ## make test, then the C++ tests again without Python and under sanitizers
	@scripts/check_builds.sh

lint: build ## clang-format, ruff, mypy --strict, clang-tidy; any finding fails
	@scripts/lint.sh

format: setup ## rewrite sources in the house style
	@find src include bindings tests -name '*.gen.*' -prune -o \( -name '*.h' -o -name '*.cc' \) -print0 | xargs -0 -r clang-format -i
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

bench: build ## export time and memory, and latency of a call, each next to its peers
	@$(PYTHON_BIN) bench/export.py
	@$(PYTHON_BIN) -m pip install --quiet --disable-pip-version-check --no-input -r requirements/bench.txt $(NO_STDIN)
	@$(PYTHON_BIN) bench/runtime.py

wheel: build ## a self-contained wheel in dist/
	@scripts/wheel.sh $(NO_STDIN)

clean: ## remove build folders; .venv stays
	@rm -rf build build-nopython build-sanitize dist .venv/.build-stamp
