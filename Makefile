# Every command a newcomer needs. `make run` and `make test` do their own set-up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),target)
# One selection of packages everywhere: cargo compiles the dependencies once per selection. The
# examples come along because they share the features that tests ask of the dependencies.
CARGO_BUILD := cargo build --workspace --bins --examples --locked
CARGO_TEST := cargo test --workspace --locked
# A workspace of its own, with results of its own: see packaging/Cargo.toml.
PACKAGING := cd packaging && CARGO_TARGET_DIR=$(abspath $(TARGET))/packaging cargo

.PHONY: help setup-dev pages build run wave demo test test-unit test-marker test-ui test-window lint check-macos bench bench-memory fuzz package starter-model generated screenshots test-arm64 build-arm64

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16

setup-dev: ## Install what building needs; safe to repeat, asks for sudo only where it must
	@.ci/setup

pages: setup-dev ## Build the window's pages, which the program carries inside
	@npm run --silent build

build: pages ## Build everything: the window, the terminal program, the examples
	$(CARGO_BUILD)

run: build ## Build Attune and open it
	@if [ "$$(uname -s)" = Darwin ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
		exec $(TARGET)/debug/attune-desktop; \
	else \
		echo "There is no display here, so the window cannot open; this is the same program in the terminal."; \
		exec $(TARGET)/debug/attune demo; \
	fi

wave: run ## The same as run, for people who come from H2O LLM Studio

demo: build ## Tune the bundled model on the bundled data in the terminal, and show what changed
	$(TARGET)/debug/attune demo

test: lint test-unit test-ui test-window ## Everything this machine can run
	@.ci/left-out

test-unit: pages ## Unit, process, parity and fault tests, of the crates and of the pages
	$(CARGO_TEST)
	@if [ "$$(uname -s)" = Linux ]; then $(PACKAGING) test --locked; fi
	npm run --silent test:unit

package: pages ## An AppImage and a .deb of this machine's programs, in target/package
	packaging/make-package

# What a marker's tests need of the build: those for CUDA want a toolkit.
MARKED_FEATURES := $(if $(filter requires_cuda,$(MARKER))$(and $(filter requires_gpu,$(MARKER)),$(filter Linux,$(shell uname -s))),--features cuda)

test-marker: pages ## Tests of one kind, MARKER=requires_cuda, or all but it, EXCEPT=x86_64; AGENTS.md lists them
	$(CARGO_TEST) $(MARKED_FEATURES) -- $(or $(MARKER),$(addprefix --skip ,$(EXCEPT)),$(error say MARKER=… or EXCEPT=…))

test-ui: pages ## Every page in Chromium on the in-memory backend, with axe
	npx playwright test

test-window: build ## The real window under a screen of its own: first run, drag and drop, kill -9
	@if [ "$$(uname -s)" = Linux ]; then \
		ATTUNE_DESKTOP=$(abspath $(TARGET))/debug/attune-desktop ATTUNE_CLI=$(abspath $(TARGET))/debug/attune npm run --silent test:window; \
	fi

test-arm64: setup-dev ## Everything below the window, built for ARM64 Linux and run under emulation
	@.ci/test-arm64

build-arm64: pages ## The window and the terminal program for ARM64 Linux, built on another machine
	@.ci/build-arm64

lint: pages ## Formatting, clippy and svelte-check, warnings refused
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if [ "$$(uname -s)" = Linux ]; then ($(PACKAGING) fmt --check) && $(PACKAGING) clippy --all-targets --locked -- -D warnings; fi
	npm run --silent check
	@if test -d "$$(rustc --print target-libdir --target aarch64-apple-darwin)"; then .ci/check-macos; fi

check-macos: pages ## Type-check everything, the window too, for an Apple Silicon Mac, from any machine
	@.ci/check-macos

bench: pages ## LoRA steps beside transformers + PEFT, answers beside llama.cpp, written to docs/performance.md
	@.ci/setup bench
	python3 tests/bench/bench.py
	python3 tests/bench/decode.py

bench-memory: pages ## What runs take in memory beside what was predicted, written to docs/performance.md
	python3 tests/bench/memory.py

starter-model: build ## Train the bundled model again from random weights (about 20 minutes on 2 cores)
	$(TARGET)/debug/examples/starter_model

generated: pages ## Write anew what follows from definitions: settings, commands, the window's types, licences
	UPDATE_DOCS=1 $(CARGO_TEST) generated

screenshots: pages ## Write docs/screenshots anew, from the in-memory backend
	SCREENSHOTS=1 npx playwright test --grep @screenshot
