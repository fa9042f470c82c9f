# What there is to do with Tradelane. `make` alone lists it; each line is one script you can also call.
# ARGS are handed on: make run ARGS='--offset 100', make check ARGS=tidy.

.DEFAULT_GOAL := help
.PHONY: help deps build run test check soak endure fuzz bench fmt clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

deps: ## install what is missing: compiler, libraries, broker (scripts/deps --help)
	@scripts/deps build

build: ## compile everything into build/release, with the programs in build/
	@scripts/build

run: ## the whole stack on a simulated exchange, in the foreground; Ctrl-C stops it
	@exec setpriv --pdeathsig TERM scripts/run $(ARGS)

test: ## every test; the last line counts them
	@scripts/test $(ARGS)

check: ## format, tidy, layers, style, sanitizers, fuzzing
	@scripts/check $(ARGS)

soak: ## 1,000 seeded rounds of faults over the whole stack, each audited (half an hour and more)
	@scripts/soak $(ARGS)

endure: ## an hour at ten times the usual rate: memory, the broker's files and the logs (scripts/endure --help)
	@scripts/endure $(ARGS)

fuzz: ## each fuzz target for MINUTES (10; 0.1 will do), one a processor; a table at the end (scripts/plants: does each find a planted bug?)
	@FUZZ_SECONDS=$$(awk 'BEGIN { printf "%d", $(or $(MINUTES),10) * 60 }') scripts/check fuzz

bench: ## measure, one JSON line a figure on stdout
	@scripts/bench $(ARGS)

fmt: ## format the C sources in place
	@scripts/deps check
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

clean: ## remove build/
	@rm -rf build
