# The front door. `make help` lists what there is.
.DEFAULT_GOAL := help

CARGO ?= cargo
DEV := target/debug/actcore-dev
ACTCORE := target/debug/actcore
# The stack of `make up`, unless the shell already says where things are.
PLACE := if [ -z "$$KUBECONFIG$$ACTCORE_DB_URL" ] && [ -f .dev/env ]; then . ./.dev/env; fi
# What `make sync-all` loads.
DIR ?= samples

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

.PHONY: sync-all
sync-all: build ## Loads event types and definitions from a folder (DIR=samples)
	@$(PLACE); $(ACTCORE) sync -f "$(DIR)"

.PHONY: migrate
migrate: build ## Applies pending migrations; safe when none is pending
	@$(PLACE); $(ACTCORE) db upgrade

.PHONY: test
test: test-packages build ## Runs every test, on real servers
	@$(CARGO) test --workspace

.PHONY: test-packages
test-packages:
	@.ci/test-packages

.PHONY: contract
contract: build ## Holds the API against its OpenAPI document with schemathesis (needs python3-venv)
	@$(CARGO) test --workspace --test contract

.PHONY: bench
bench: ## Measures speed and cost against limits and bare work (about an hour)
	@$(CARGO) build --release --workspace --bins
	@target/release/actcore-bench --documents docs

FAULTS := target/debug/actcore-faults
.PHONY: faults
faults: build ## Strikes every call with every kind of fault (MINUTES=60 SEED=1; what was found is kept, a sample is in make test)
	@status=0; \
	for step in "all --minutes $(or $(MINUTES),60)" "definitions" "planted" "outages"; do \
		$(FAULTS) $$step --seed $(or $(SEED),1) --jobs $(or $(JOBS),6) --documents docs || status=1; \
	done; exit $$status

FUZZ_TARGETS := envelope filter condition template definition rest-body
.PHONY: fuzz
fuzz: ## Gives hostile input to whatever reads input (SECONDS=60 for each target; needs the nightly toolchain and a C++ compiler)
	@cargo fuzz --version > /dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz@0.13.1
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/corpus/$$target; \
		cargo +nightly fuzz run --features libfuzzer --target-dir target/fuzz $$target \
			target/fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(or $(SECONDS),60) -timeout=10 -rss_limit_mb=2048 -max_len=8192 || exit 1; \
	done

.PHONY: pictures
pictures: build ## Takes the pictures in docs/images anew, in a real browser
	@ACTCORE_PICTURES=1 $(CARGO) test --workspace --test integration -- pictures
	@for picture in docs/images/*.png; do pngquant --force --ext .png 64 "$$picture"; done

.PHONY: e2e
e2e: build ## Takes the chart through its life on a real cluster (kind, or a node made here by root)
	@.ci/e2e-packages
	@$(CARGO) test --workspace --test e2e -- --nocapture

.PHONY: pages
pages: build ## Causes each fault of the paging policy, with a real Prometheus and Alertmanager (ten minutes)
	@$(CARGO) test --workspace --test pages -- --nocapture

# One static file: the image needs nothing else that runs.
MUSL ?= $(shell uname -m)-unknown-linux-musl
IMAGE ?= target/activity-core.tar

.PHONY: image
image: build ## Puts the container image together, without a container engine (IMAGE=target/activity-core.tar)
	@rustup target add $(MUSL)
	@$(CARGO) build --profile image --locked --target $(MUSL) -p bundle
	@$(DEV) image --from target/$(MUSL)/image --output $(IMAGE)

.PHONY: sbom
sbom: ## Lists what the image is made of, as CycloneDX (target/activity-core.cdx.json)
	@cargo cyclonedx --version > /dev/null 2>&1 || $(CARGO) install --locked cargo-cyclonedx@0.5.9
	@$(CARGO) cyclonedx --quiet --manifest-path bundle/Cargo.toml --format json --spec-version 1.5 \
		--target $(MUSL) --no-build-deps --override-filename activity-core.cdx
	@# It writes one for each crate of the workspace, and where they stand.
	@sed 's|path+file://$(CURDIR)/|path+file:///|g' bundle/activity-core.cdx.json > target/activity-core.cdx.json
	@find . -mindepth 2 -maxdepth 2 -name activity-core.cdx.json -not -path './target/*' -delete
	@echo target/activity-core.cdx.json

.PHONY: generate
generate: ## Writes every generated file
	@$(CARGO) xtask generate

.PHONY: lint
lint: ## Checks format, lints, licences and sources of dependencies
	@$(CARGO) fmt --all -- --check
	@$(CARGO) clippy --workspace --all-targets --test e2e --test pages --test contract -- -D warnings
	@$(CARGO) deny check bans licenses sources
