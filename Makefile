# Every command a newcomer needs. `make run` and `make test` do their own set-up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),target)
# One selection of packages everywhere: cargo compiles the dependencies once per selection. The
# examples come along because they share the features that tests ask of the dependencies.
CARGO_BUILD := cargo build --workspace --bins --examples --locked
CARGO_TEST := cargo test --workspace --locked

.PHONY: help setup-dev run wave demo test test-unit lint bench starter-model settings

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup-dev: ## Install what building needs; safe to repeat, asks for sudo only where it must
	@.ci/setup

run: setup-dev ## Build Attune and open it
	@echo "The window comes with the next release; this is the same program in the terminal."
	@$(MAKE) --no-print-directory demo

wave: run ## The same as run, for people who come from H2O LLM Studio

demo: setup-dev ## Tune the bundled model on the bundled data and show what changed
	$(CARGO_BUILD)
	$(TARGET)/debug/attune demo

test: setup-dev lint test-unit ## Everything this machine can run
	@.ci/left-out

test-unit: ## Unit, process, parity and fault tests
	$(CARGO_TEST)

lint: ## Formatting and clippy, warnings refused
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: ## A LoRA step beside transformers + PEFT, written to docs/performance.md
	@.ci/setup bench
	python3 tests/bench/bench.py

starter-model: setup-dev ## Train the bundled model again from random weights (about 20 minutes on 2 cores)
	$(CARGO_BUILD)
	$(TARGET)/debug/examples/starter_model

settings: ## Write docs/settings.md from the definitions
	UPDATE_DOCS=1 $(CARGO_TEST) settings
