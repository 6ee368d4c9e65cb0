# The front door. `make` prints the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
JOBS ?= $(shell nproc)
CTEST := ctest --output-on-failure --no-tests=error -j $(JOBS)

# The Python whose wheel `make wheel` builds.
PYTHON ?= python3

.PHONY: help setup build demo wheel test test-python-full test-release test-asan test-tsan test-server-sanitized test-fuzz fuzz soak test-full test-real-hub bench lint format install \
        uninstall clean

help: ## Print this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

setup: ## Install the Debian packages that are missing (needs root or sudo only then).
	@scripts/setup

build: setup ## Build the program: build/release/stella, with its man page and shell completions.
	@cmake --preset release >/dev/null
	@cmake --build --preset release -j $(JOBS) --target stella_cli stella_man stella_completions stella_c

demo: setup ## Build, then search forty passages with the bundled model, at two sizes, and say how fast that is.
	@cmake --preset release -DSTELLA_BUILD_TESTS=OFF -DSTELLA_BUILD_BENCH=OFF -DSTELLA_BUILD_EXAMPLES=OFF >/dev/null
	@cmake --build --preset release -j $(JOBS) --target stella_cli
	@scripts/demo

test: setup ## All tests: release build, ASan+UBSan unit tests, TSan hub and engine tests, fuzzers. Ends with ctest's summary.
	@scripts/setup --fuzz --browser
	@$(MAKE) --no-print-directory test-asan
	@$(MAKE) --no-print-directory test-tsan
	@$(MAKE) --no-print-directory test-fuzz
	@$(MAKE) --no-print-directory test-release

test-release: ## Every test, in the release build.
	cmake --preset release -DSTELLA_BUILD_TESTS=ON -DSTELLA_BUILD_BENCH=ON -DSTELLA_BUILD_EXAMPLES=ON
	cmake --build --preset release -j $(JOBS)
	cd build/release && $(CTEST)

test-asan: ## The unit tests under AddressSanitizer and UndefinedBehaviorSanitizer.
	cmake --preset asan
	cmake --build --preset asan -j $(JOBS) --target stella_unit_tests
	cd build/asan && $(CTEST) -L '^unit$$'

test-tsan: ## The hub's and the engine's tests under ThreadSanitizer.
	cmake --preset tsan
	cmake --build --preset tsan -j $(JOBS) --target stella_thread_tests
	cd build/tsan && TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp" $(CTEST) -R '^stella_(base|engine|hub|hub_http|hub_cache|hub_download|hub_protocol|hub_concurrency|hub_fault|lifetime|pool)_test\.'

test-server-sanitized: ## Not in CI: the server's tests, the program built with AddressSanitizer and UBSan, then with ThreadSanitizer.
	for preset in asan tsan; do cmake --preset $$preset && cmake --build --preset $$preset -j $(JOBS) --target stella_cli && \
	  (cd build/$$preset && $(CTEST) -j 1 -R '^server_(http|limits|models|observe|reload|routes|serve|soak|transport)$$') || exit 1; done

FUZZ = cmake --preset fuzz -DSTELLA_FUZZ_SECONDS=$(1) -DSTELLA_FUZZ_SEED=$(2) >/dev/null && cmake --build --preset fuzz -j $(JOBS) && cd build/fuzz && $(CTEST) -L '^fuzz$$'

test-fuzz: ## The fuzzers, 20 seconds each.
	$(call FUZZ,20,20261126)

MINUTES ?= 10
fuzz: ## The fuzzers, each for MINUTES=10; fuzz/README.md says what to do with what they find.
	@scripts/setup --fuzz
	$(call FUZZ,$$((60 * $(MINUTES))),0)

soak: build ## A server for ten minutes under right, broken and abandoned requests: memory and descriptors flat, vectors right.
	python3 -B tests/server/soak.py build/release/stella . 600

wheel: ## The Python package as dist/stella_cpp-*.whl, which needs nothing of the system but glibc and libstdc++.
	@scripts/setup --wheel
	@scripts/wheel $(PYTHON)

test-python-full: wheel ## Not in CI: `pip install .` in a clone, the wheel, and the frameworks' own tests, each in an environment of its own.
	cmake --preset release -DSTELLA_BUILD_TESTS=ON >/dev/null
	cmake --build --preset release -j $(JOBS) --target stella_cli hub_server
	scripts/test-python-full

test-full: build ## Not in CI: full-size Small and Large checkpoints (random weights) through a local hub; 10 GB of disk, 24 GiB of memory.
	cmake --preset release -DSTELLA_BUILD_TESTS=ON >/dev/null
	cmake --build --preset release -j $(JOBS) --target hub_server
	scripts/test-full

test-real-hub: build ## Opt-in, needs the network: the published models with all heads, verified. About 9 GB.
	scripts/test-real-hub

bench: build ## Ours beside its peers on full-size checkpoints; writes docs/performance.md's tables. Takes an hour or more.
	bench/run

lint: setup ## clang-format and clang-tidy, and the layering.
	@scripts/lint

format: ## Format the sources in place.
	@git ls-files '*.cpp' '*.hpp' | xargs clang-format -i

install: build ## Install to /usr/local, or to $(PREFIX).
	cmake --install build/release $(if $(PREFIX),--prefix $(PREFIX))
	@cp build/release/install_manifest.txt build/installed.txt

uninstall: ## Remove what the last `make install` of this tree installed.
	@scripts/uninstall

clean: ## Remove build/.
	rm -rf build
