# One target per check; CI calls `make test`. Needs git, make and python3 (3.10 or newer). Of the system's packages demo
# needs python3-venv, venv and with it every check also those of tools/setup_robot.sh: root, or sudo without a password,
# gets them by apt-get; anybody else is told the line to type.
PYTHON ?= python3
PIP_FLAGS ?=
DEMO_FLAGS ?=
PYTEST_FLAGS ?=
BIN := .venv/bin
SYSTEM = bash tools/setup_robot.sh
SETUP = PYTHON="$(PYTHON)" PIP_FLAGS="$(PIP_FLAGS)" bash tools/setup_venv.sh

.DEFAULT_GOAL := help
.PHONY: test-arm64 tensorrt help venv venv-train demo test lint format format-check types unit clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*  ## /  make \1\t/' | expand -t 22
	@echo
	@echo '  PYTHON=python3.12 picks the interpreter, PIP_FLAGS="--index-url URL" another package index,'
	@echo '  DEMO_FLAGS="--map MAP.yaml --sounds DIR" your own world, PYTEST_FLAGS="-k name" some of the tests.'

demo: venv-train  ## from nothing to a robot that finds a sound: runs/demo/report.html
	@$(BIN)/phonotaxis demo $(DEMO_FLAGS)

test: venv  ## lint, format, types, then every test
	@$(MAKE) --no-print-directory lint format-check
	@$(MAKE) --no-print-directory -j2 types tensorrt
	@$(MAKE) --no-print-directory unit

lint: venv  ## ruff's rules
	@$(BIN)/ruff check --quiet . && echo 'lint: clean'

format: venv  ## rewrite every file in the house format
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet . && echo 'format: done'

format-check: venv  ## fail where `make format` would change something
	@$(BIN)/ruff format --check --quiet . && echo 'format: clean'

types: venv  ## mypy over the whole package
	@$(BIN)/python tools/check_types.py

unit: venv tensorrt  ## pytest alone, in two processes
	@bash tools/run_tests.sh $(BIN)/python $(PYTEST_FLAGS)

venv:  ## .venv with everything the tests need; the system's packages for it with apt-get
	@$(SYSTEM)
	@$(SETUP) dev

venv-train:  ## .venv with what simulation and training need
	@$(SETUP) train

test-arm64: venv  ## the robot's part on aarch64, emulated: replays episodes recorded here (root; 7 minutes once)
	@bash tools/test_arm64.sh

tensorrt: venv  ## NVIDIA's parser, builder and bindings, which tests check exports against
	@bash tools/setup_tensorrt.sh

clean:  ## remove .venv, caches and build outputs; runs/ stays
	rm -rf .venv .typing .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
