# The front door. `make help` lists what there is.
.DEFAULT_GOAL := help

CARGO ?= cargo
DEV := target/debug/actcore-dev

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Builds all programs (debug)
	@$(CARGO) build --workspace --bins

.PHONY: up
up: build ## Starts all servers and programs in the background, prints where they are
	@$(DEV) up

.PHONY: down
down: ## Stops everything (VOLUMES=1 removes the data too)
	@if [ -x $(DEV) ]; then $(DEV) down $(if $(VOLUMES),--volumes); else echo "nothing is built, so nothing is up"; fi

.PHONY: status
status: build ## Says how everything is and where
	@$(DEV) status

.PHONY: demo
demo: build ## From kubectl apply to a proven run, on the stack that `make up` starts
	@$(DEV) demo

.PHONY: test
test: build ## Runs every test, on real servers
	@$(CARGO) test --workspace

.PHONY: generate
generate: ## Writes every generated file
	@$(CARGO) xtask generate

.PHONY: lint
lint: ## Checks format, lints, licences and sources of dependencies
	@$(CARGO) fmt --all -- --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@$(CARGO) deny check bans licenses sources
