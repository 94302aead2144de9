# gw: everything a person runs from a clone. `make` alone says what there is.
#
# PYTHON: the CPython (3.11 or later) that the virtual environment is made with.
# JOBS:   tests that run at a time.
# VENV:   where that environment lives; made on first use, refreshed when pyproject.toml changes.

PYTHON ?= python3
VENV ?= .venv
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 3600
BENCH_VENV ?= build/bench
BARE ?= build/bare
JOBS ?= 2
ARGS ?=

BIN := $(VENV)/bin
MADE := $(VENV)/.made
RUN_READY := $(VENV)/.ready-run
TEST_READY := $(VENV)/.ready-test
FUZZ_READY := $(VENV)/.ready-fuzz

.DEFAULT_GOAL := help
.PHONY: help demo test check bench cost events scale reliability soak fuzz clean

help:
	@echo "make demo         run the gateway with three small backends of its own"
	@echo "make test         every check and every test, against a real Consul and a real Prometheus"
	@echo "make check        ruff, mypy and import-linter only"
	@echo "make bench        compare gw with nginx, HAProxy and Caddy (ARGS='--help' for its options)"
	@echo "make cost         the CPU that access log, counters and \`gw why\` take of a request (ARGS='--help')"
	@echo "make events       what each event (kill -9, a hang, Consul gone...) costs the requests that pass (ARGS='--help')"
	@echo "make scale        500 services with 5,000 instances in a real Consul (ARGS='--help')"
	@echo "make reliability  kill, stop, reload and roll every process under load, and count what is lost (ARGS='--help')"
	@echo "make soak         run gw under a steady mix of clients and look for growth and failures (SOAK_SECONDS=3600)"
	@echo "make fuzz         look for inputs that break the parsers and machines (FUZZ_SECONDS=60 for each of four targets)"
	@echo "make clean        remove everything that these made"

# Ctrl-C reaches gw itself, which drains and ends with 0.
demo: $(RUN_READY)
	$(BIN)/gw up --demo

# The suite must not pass by skipping: without a Consul, a Prometheus or a browser there is no run.
test: $(TEST_READY)
	@VENV=$(VENV) scripts/check
	@scripts/get_consul.sh >/dev/null \
		|| { echo "make test: scripts/get_consul.sh found no Consul; the suite needs one" >&2; exit 1; }
	@scripts/get_prometheus.sh >/dev/null \
		|| { echo "make test: scripts/get_prometheus.sh found no Prometheus; the suite needs one" >&2; exit 1; }
	@scripts/get_chromium.sh >/dev/null \
		|| { echo "make test: scripts/get_chromium.sh found no Chromium; the tests of the page need one" >&2; exit 1; }
	@VENV=$(VENV) scripts/test_compiled -q -n $(JOBS) --dist loadfile
	@VENV=$(VENV) scripts/test_py_consul -q
	@$(BIN)/python -P -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(TEST_READY)
	@VENV=$(VENV) scripts/check

# What `pip install .` gives, compiled, in an environment of its own.
bench: $(RUN_READY) $(BENCH_VENV)/.made
	$(BIN)/python -m benchmarks.load --gw gw=$(BENCH_VENV)/bin/gw $(ARGS)

# Two gateways side by side: as installed, and without what remembers requests; each with and without the access log.
cost: $(RUN_READY) $(BENCH_VENV)/.made $(BARE)/.made
	$(BIN)/python -m benchmarks.load --gw gw=$(BENCH_VENV)/bin/gw --gw bare=$(BARE)/bin/gw --peers gw,bare \
		--workloads small,no-log $(ARGS)

# The first two against a real Consul, as `make test` needs it.
events scale reliability: $(RUN_READY) $(BENCH_VENV)/.made
	$(BIN)/python -m benchmarks.$@ --gw $(BENCH_VENV)/bin/gw $(ARGS)

# `exec`, so that no shell stands between: Ctrl-C and SIGTERM reach the soak, which ends what it started.
soak: $(RUN_READY) $(BENCH_VENV)/.made
	@exec $(BIN)/python -m benchmarks.soak --gw $(BENCH_VENV)/bin/gw --seconds $(SOAK_SECONDS) $(ARGS)

$(BENCH_VENV)/.made: pyproject.toml setup.py $(shell find cli discovery gateway healthcheck -name '*.py')
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet .
	@touch $@

$(BARE)/.made: $(RUN_READY) benchmarks/load/bare.py $(BENCH_VENV)/.made
	$(BIN)/python -m benchmarks.load.bare $(BARE)/source
	test -x $(BARE)/bin/python || $(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install --quiet $(BARE)/source
	@touch $@

fuzz: $(FUZZ_READY)
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m fuzz $(ARGS)

clean:
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache benchmarks/results/raw
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An existing environment is kept, whoever made it; `venv` alone would fail late on an old Python, so ask first.
$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "gw needs CPython 3.11 or later; try: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

# Editable, so a change in the code needs no new install. Each stamp is older than pyproject.toml only when that changed.
$(RUN_READY): $(MADE) pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(TEST_READY): $(MADE) pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(RUN_READY)

$(FUZZ_READY): $(TEST_READY)
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	@touch $@
