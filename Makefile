# The one front door: the same targets for people and for CI. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 300
FROM ?= 0
RUNS ?= 1000000
MINUTES ?= 2
NATIVE_SOURCES := Cargo.toml Cargo.lock $(shell find native -path native/fuzz -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: deps
deps: ## Install the system packages that are missing (apt-get)
	@tools/install_system_packages.sh demo

$(VENV)/.environment: pyproject.toml tools/install_system_packages.sh
	@tools/install_system_packages.sh build
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python tools/python_requirements.py | xargs -d '\n' $(BIN)/python -m pip install --quiet --disable-pip-version-check
	@touch $@

$(VENV)/.native: $(VENV)/.environment $(NATIVE_SOURCES)
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" PIP_QUIET=1 $(BIN)/maturin develop --release --quiet
	@touch $@

.PHONY: build
build: $(VENV)/.native ## Build the native core and install the commands into .venv/bin

.PHONY: demo
demo: build deps ## Run the main job on this machine: mirror, kill a node under load, take over, resync
	$(BIN)/twindisk demo

.PHONY: fmt
fmt: $(VENV)/.environment ## Format everything
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

.PHONY: lint
lint: build ## Check formats, lints, types and the stub of the native module
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest twindisk._native
	$(BIN)/python tools/command_reference.py --check

.PHONY: docs
docs: build ## Write the pages that are made from the code
	$(BIN)/python tools/command_reference.py

.PHONY: test-native
test-native: ## Run the native core's tests
	if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace --no-tests=pass --status-level=fail --final-status-level=fail; \
	else cargo test --workspace --quiet; fi

.PHONY: fuzz
fuzz: ## Run the coverage-guided fuzzers: make fuzz [RUNS=n], 0 until interrupted
	@tools/install_system_packages.sh fuzz
	tools/fuzz.sh $(RUNS)

.PHONY: test
test: build deps lint test-native ## Run every check and test, the fuzzers for a few seconds among them
	@tools/install_system_packages.sh test fuzz
	tools/fuzz.sh 20000
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile

.PHONY: e2e
e2e: build deb ## Run the tutorial and its failures with real Linux initiators (root; builds their machines)
	@tools/install_system_packages.sh e2e
	PYTHONPATH=tests $(BIN)/python -m e2e.image
	$(BIN)/python -m pytest tests/e2e

.PHONY: tutorial
tutorial: build deb ## Run the tutorial and write what it printed to docs/tutorial.md and its picture
	@tools/install_system_packages.sh e2e
	PYTHONPATH=tests $(BIN)/python -m e2e.image
	TWINDISK_RECORD=1 $(BIN)/python -m pytest tests/e2e/test_tutorial.py

.PHONY: sim
sim: build ## Simulate two nodes and their troubles: make sim SEEDS=n [FROM=s], make sim SEED=s for one seed's trace
	$(BIN)/python -m twindisk.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

.PHONY: sim-mutants
sim-mutants: build ## Plant bugs into the core and around it, and count the seeds that the simulator needs to find each
	PYTHONPATH=tests $(BIN)/python -m mutants

.PHONY: conformance
conformance: build deps ## Run all of libiscsi's conformance suite against a pair: each node, and both paths together
	PYTHONPATH=tests $(BIN)/python -m conformance

.PHONY: torture
torture: build deps ## Torture a real pair with faults drawn from a seed: make torture MINUTES=m [SEED=s]; needs root
	@tools/install_system_packages.sh torture
	PYTHONPATH=tests $(BIN)/python -m torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: build ## Measure beside tgt; writes docs/benchmarks.md and bench/results/
	@tools/install_system_packages.sh demo bench
	$(BIN)/python -m bench

.PHONY: bench-pauses
bench-pauses: build deps ## Measure how long initiators wait at the loss of a node, link or cable; writes docs/pauses.md; needs root
	@tools/install_system_packages.sh torture
	PYTHONPATH=tests $(BIN)/python -m bench.pauses

.PHONY: deb
deb: $(VENV)/.environment ## Build the Debian packages into dist/
	@tools/install_system_packages.sh deb
	rm -rf build/wheel
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin build --release --quiet --compatibility linux --out build/wheel
	$(BIN)/python packaging/build_deb.py --wheel build/wheel/*.whl --out dist

.PHONY: clean
clean: ## Remove everything built
	cargo clean --quiet
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/twindisk/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
