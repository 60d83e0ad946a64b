# The verbs of this project. Each works alone on an empty clone: it needs Python >= 3.11 and cargo.

SHELL := /bin/bash -euo pipefail
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DEFAULT_GOAL := help

# Another Python: make PYTHON=python3.13 …
PYTHON ?= $(shell for python in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
PEERS := $(CURDIR)/target/peers

TOOLS_STAMP := $(VENV)/.tools
BUILT_STAMP := $(VENV)/.built
WHEELS_STAMP := dist/.built
PROFILE := $(CURDIR)/target/profiled/duewheel.profdata
EXTENSION := $(wildcard python/duewheel/_core*.so python/duewheel/_core*.pyd)
RUST := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml $(wildcard Cargo.lock)
PACKAGE := $(shell find python -name '*.py' -o -name '*.pyi')

# One Python for all builds of the binding, so that cargo and maturin do not undo each other's work.
export VIRTUAL_ENV := $(VENV)
export PYO3_PYTHON := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# maturin runs pip, too.
export PIP_QUIET := 1
unexport PYTHONHOME

.PHONY: help
help:  ## show this list
	@awk 'BEGIN { FS = ":.*?## " } /^[a-z-]+:.*?## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(BUILT_STAMP)  ## make .venv with the tools and the extension; again only what has changed

$(TOOLS_STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found; say make PYTHON=/path/to/python" >&2; exit 1; }
	test -x "$(BIN)/python" || "$(PYTHON)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --upgrade 'pip>=25.1'
	"$(BIN)/python" -m pip install --quiet --group dev
	@touch "$@"

$(BUILT_STAMP): $(TOOLS_STAMP) $(RUST) $(if $(EXTENSION),,no-extension)
	"$(BIN)/maturin" develop --release --quiet
	@touch "$@"

.PHONY: no-extension
no-extension:

.PHONY: format
format: $(TOOLS_STAMP)  ## format all sources
	cargo fmt --all
	"$(BIN)/ruff" check --fix-only --quiet .
	"$(BIN)/ruff" format .

.PHONY: check
check: setup  ## check formats, lints, types, stubs and documentation
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --quiet --workspace --no-deps --document-private-items
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/pyright" --warnings
	"$(BIN)/python" -m mypy.stubtest duewheel._core --mypy-config-file pyproject.toml

.PHONY: test
test: setup  ## run the quick tests, of Rust and of Python
	cargo test --quiet --package duewheel-model --package duewheel-schedule --package duewheel-store --package duewheel-sqlite --package duewheel-engine
	"$(BIN)/python" tests/postgres/pg_server.py cargo test --quiet --package duewheel-postgres
	"$(BIN)/python" -m pytest

.PHONY: test-slow
test-slow: setup wheel  ## run all tests, the slow ones and those of the wheels too
	DUEWHEEL_IMAGES=20000 DUEWHEEL_KILLS=1000 DUEWHEEL_FLIPS=5000 PROPTEST_CASES=5000 cargo test --quiet --package duewheel-model --package duewheel-schedule --package duewheel-store --package duewheel-sqlite --package duewheel-engine --release -- --include-ignored
	DUEWHEEL_KILLS=2000 "$(BIN)/python" -m pytest --run-slow

.PHONY: test-newer
test-newer:  ## run the quick tests on CPython 3.14 and 3.15 of Debian testing; needs Debian and root
	tests/newer.sh

.PHONY: bench
bench: setup  ## measure the wheel in Rust and the calls from Python
	cargo bench --manifest-path benches/wheel/Cargo.toml
	cargo run --release --manifest-path benches/schedule/Cargo.toml
	"$(BIN)/python" -m pytest benches --benchmark-only

.PHONY: compare
compare: setup $(if $(QUICK),,$(WHEELS_STAMP))  ## measure the wheel against other schedulers and the floor, side by side; QUICK=1: two minutes, a first look
	test -x "$(PEERS)/bin/python" || "$(PYO3_PYTHON)" -m venv "$(PEERS)"
	"$(PEERS)/bin/python" -m pip install --quiet --requirement benches/compare/requirements.txt
	$(if $(QUICK),,"$(PEERS)/bin/python" -m pip install --quiet --force-reinstall --no-index --no-deps --find-links dist duewheel)
	$(if $(QUICK),PYTHONPATH="$(CURDIR)/python") "$(PEERS)/bin/python" benches/compare/run.py $(if $(QUICK),--quick)
	$(if $(QUICK),,"$(PEERS)/bin/python" benches/compare/durable.py)
	$(if $(QUICK),,"$(PEERS)/bin/python" benches/compare/loops.py)
	$(if $(QUICK),,"$(PEERS)/bin/python" benches/compare/repeats.py)
	$(if $(QUICK),,"$(PEERS)/bin/python" benches/compare/prices.py)
	$(if $(QUICK),,"$(PEERS)/bin/python" benches/compare/postgres.py)

.PHONY: demo
demo: setup  ## see it work
	"$(BIN)/python" examples/demo.py
	"$(BIN)/python" examples/demo_year.py

.PHONY: demo-crash
demo-crash: setup  ## see jobs in a file outlive a process that kills itself again and again
	"$(BIN)/python" examples/demo_crash.py

.PHONY: demo-postgres
demo-postgres: setup  ## see nodes share a database while they are killed and the server crashes
	"$(BIN)/python" examples/demo_postgres.py

# CPython before 3.14 ends a thread at its exit by unwinding it, with the unwinder of the system. zig links one of its
# own, and a stack that both of them walk crashes the process: so the system's comes first.
ifeq ($(shell uname -s),Linux)
LINKED_FOR_OLD_LINUX := -C link-arg=$(shell cc -print-file-name=libgcc_s.so.1)
endif

.PHONY: docs
docs: $(TOOLS_STAMP)  ## build the documentation site into target/docs/site
	"$(BIN)/python" docs/site/assemble.py

.PHONY: screenshots
screenshots: setup  ## take the pictures of the dashboard in docs/pictures, some two minutes; needs chromium
	"$(BIN)/python" docs/site/screenshots.py

.PHONY: wheel
wheel: $(WHEELS_STAMP)  ## build a wheel for each CPython that is here into dist/, by a profile where llvm-profdata is

$(WHEELS_STAMP): $(TOOLS_STAMP) $(RUST) $(PACKAGE) tests/process/test_wheel.py $(PROFILE)
	rm -f dist/*.whl
	"$(BIN)/python" tests/process/test_wheel.py | tr '\n' '\0' | PATH="$(BIN):$$PATH" \
		RUSTFLAGS="$(LINKED_FOR_OLD_LINUX) $$(test ! -s "$(PROFILE)" || echo "-C profile-use=$(PROFILE)")" \
		xargs -0 maturin build --release --out dist $(if $(LINKED_FOR_OLD_LINUX),--compatibility manylinux_2_28 --zig) --interpreter
	@touch "$@"

# An empty one stands for none, which is slower by a tenth and else the same.
$(PROFILE): $(TOOLS_STAMP) $(RUST) $(PACKAGE) benches/train.py
	"$(BIN)/python" benches/train.py "$@" || { test $$? = 3 && : > "$@" && echo "BUILT WITHOUT A PROFILE"; }

.PHONY: clean
clean:  ## remove all that was built, .venv too
	rm -rf target dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f python/duewheel/_core*.so python/duewheel/_core*.pyd
	find python tests benches examples -name __pycache__ -type d -prune -exec rm -rf {} +
