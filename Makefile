# Every target does its own set-up: on Debian what is missing is installed, elsewhere you are told.
# Needs Rust (the stable toolchain that is installed; none is downloaded), gcc, make and git.

.PHONY: help demo test conformance lint bench bench-judgement bench-petshop install build clean

# A rustc of this workspace may take 2 GiB: no more of them than memory allows.
CORES := $(shell nproc 2>/dev/null || echo 2)
MEMORY_GIB := $(shell awk '/MemAvailable/ {print int($$2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 4)
JOBS := $(shell j=$$(( $(MEMORY_GIB) / 2 )); [ $$j -lt 1 ] && j=1; [ $$j -gt $(CORES) ] && j=$(CORES); echo $$j)
export CARGO_BUILD_JOBS ?= $(JOBS)
export CARGO_TERM_COLOR ?= auto

PREFIX ?= /usr/local
FAULT ?= errors

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# need COMMAND PACKAGE: one line per missing thing, in words; nothing where all is there.
# RUNLEVEL=1 keeps a package from starting its service.
define need
	@command -v $(1) >/dev/null 2>&1 || { \
	  echo "== $(1) is missing; installing the Debian package '$(2)'"; \
	  command -v apt-get >/dev/null 2>&1 || { echo "== this is not Debian: please install $(1) yourself and run make again"; exit 1; }; \
	  root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	  { $$root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(2) >/dev/null 2>&1 \
	    || { $$root apt-get update -q >/dev/null 2>&1; \
	         $$root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(2) >/dev/null; }; } \
	  || { echo "== could not install '$(2)': please install $(1) yourself and run make again"; exit 1; }; }
endef

.PHONY: setup-build setup-test setup-bench
setup-build:
	@command -v cargo >/dev/null 2>&1 || { echo "== cargo is missing: install stable Rust (https://rustup.rs) and run make again"; exit 1; }
	$(call need,cmake,cmake)
	$(call need,cc,gcc)

# Python with OpenTelemetry's definitions: the collector of the tests.
OTLP_VENV := target/otlp-venv

setup-test: setup-build
	$(call need,promtool,prometheus)
	$(call need,chromium,chromium)
	$(call need,pebble,pebble)
	$(call need,python3,python3)
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "== python3-venv is missing; installing it"; root=; [ "$$(id -u)" = 0 ] || root=sudo; $$root apt-get install -y --no-install-recommends python3-venv >/dev/null; }
	@[ -x $(OTLP_VENV)/bin/python ] && $(OTLP_VENV)/bin/python -c 'import opentelemetry.proto' 2>/dev/null \
	  || { echo "== making $(OTLP_VENV) with opentelemetry-proto from PyPI"; python3 -m venv $(OTLP_VENV) && $(OTLP_VENV)/bin/pip install -q opentelemetry-proto; }

setup-bench: setup-test
	$(call need,wrk,wrk)
	$(call need,nginx,nginx-light)
	$(call need,haproxy,haproxy)
	$(call need,valgrind,valgrind)

build: setup-build ## the binary, target/release/serinus
	cargo build --release --locked -p serinus

demo: build ## a canary fails under real traffic and is rolled back; FAULT=errors|slow|tail|crash|leak|corrupt|hang|blip|shared|none
	./target/release/serinus demo --fault $(FAULT)

test: setup-test ## every test, end to end included
	cargo build --locked --workspace --bins --tests
	cargo test --locked --workspace --no-fail-fast

# From Debian and PyPI; a suite whose tool cannot be had says so and is left out.
SUITES_VENV := target/conformance-venv
.PHONY: setup-conformance
setup-conformance: setup-build
	$(call need,python3,python3)
	$(call need,nginx,nginx-light)
	$(call need,haproxy,haproxy)
	$(call need,node,nodejs)
	-$(call need,varnishtest,varnish)
	-$(call need,slowhttptest,slowhttptest)
	@[ -x $(SUITES_VENV)/bin/python ] || { echo "== making $(SUITES_VENV) with kosoku, websockets, sslyze and grpcio from PyPI"; \
	  python3 -m venv $(SUITES_VENV) || { echo "== could not: please install python3-venv and run make again"; exit 1; }; }
	@for package in kosoku websockets sslyze grpcio; do \
	  $(SUITES_VENV)/bin/python -c "import $${package%io}" 2>/dev/null || $(SUITES_VENV)/bin/pip -q install $$package \
	    || echo "== could not install $$package: its suite is left out"; done

SUITES ?=

conformance: setup-conformance build ## what an edge proxy must withstand, beside nginx and HAProxy; SUITES="varnish side_by_side mutate tls websocket slow streams calls service"; output is kept in benches/runs
	$(SUITES_VENV)/bin/python tests/conformance/run.py benches/runs/$(shell date +%F)-conformance $(SUITES)

lint: setup-build ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: setup-bench ## nanoseconds of the hot path, CPU and instructions per request beside other proxies; records are kept in benches/runs
	cargo build --locked --profile dist -p serinus -p serinus-benches --bins
	cargo bench --locked --profile dist -p serinus-benches --bench hot_path --bench evaluation_tick
	./target/dist/cpu_per_request --serinus target/dist/serinus --bare target/dist/bare_pingora --instructions

JUDGEMENT := benches/runs/$(shell date +%F)-judgement
RUNS ?= 200

bench-judgement: setup-build ## who harms users and who takes back good releases: RUNS=200 test seeds of every scenario under every policy, kept in benches/runs
	cargo build --locked --profile dist -p serinus
	mkdir -p $(JUDGEMENT)
	./target/dist/serinus simulate --seeds test --runs $(RUNS) --record $(JUDGEMENT)
	{ uname -srm; grep -m1 'model name' /proc/cpuinfo || true; echo "$(CORES) cores"; rustc --version; ./target/dist/serinus --version; git describe --always --dirty; } > $(JUDGEMENT)/machine.txt
	@echo "== kept in $(JUDGEMENT)"

bench-petshop: setup-build ## the judgement on Amazon's PetShop incidents: DATA=PATH of the data set, JSON=FILE keeps every run
	@[ -n "$(DATA)" ] || { echo "== say where the data set is: make bench-petshop DATA=PATH (https://github.com/amazon-science/petshop-root-cause-analysis)"; exit 1; }
	cargo run --locked --release -p serinus-models --example petshop -- --data "$(DATA)" $(if $(JSON),--json "$(JSON)")

LEARNING := benches/runs/$(shell date +%F)-learning
ROUNDS ?= 6

.PHONY: bench-learning
bench-learning: setup-build ## what learning costs: the time of a training and of a forecast, and the p99 of live traffic with and without a training beside it, in turns (ROUNDS=6, under 6 minutes); kept in benches/runs
	cargo build --locked --release -p serinus -p serinus-tests --bins
	cargo build --locked --release -p serinus-models --example learning_speed
	mkdir -p $(LEARNING)
	./target/release/examples/learning_speed | tee $(LEARNING)/speed.txt
	./target/release/measure_learning $(ROUNDS) | tee $(LEARNING)/delay.jsonl
	{ uname -srm; grep -m1 'model name' /proc/cpuinfo || true; echo "$(CORES) cores"; rustc --version; ./target/release/serinus --version; git describe --always --dirty; } > $(LEARNING)/machine.txt
	@echo "== kept in $(LEARNING)"

APPLICATIONS := target/applications
PROBES_RECORD := benches/runs/$(shell date +%F)-probes
GREEN ?= 600

.PHONY: conformance-probes bench-probes setup-applications
setup-applications: setup-build
	$(call need,python3,python3)
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "== python3-venv is missing; installing it"; root=; [ "$$(id -u)" = 0 ] || root=sudo; $$root apt-get install -y --no-install-recommends python3-venv >/dev/null; }
	$(call need,node,nodejs)
	$(call need,npm,npm)
	$(call need,nginx,nginx-light)
	$(call need,openssl,openssl)
	@mkdir -p $(APPLICATIONS)/api $(APPLICATIONS)/pages
	@[ -x $(APPLICATIONS)/venv/bin/gunicorn ] || { python3 -m venv $(APPLICATIONS)/venv && $(APPLICATIONS)/venv/bin/pip install -q "django==5.2.*" "gunicorn==23.*"; }
	@cp tests/applications/api/package.json $(APPLICATIONS)/api/ && cp tests/applications/pages/package.json $(APPLICATIONS)/pages/
	@[ -d $(APPLICATIONS)/api/node_modules/json-server ] || npm install --prefix $(APPLICATIONS)/api --no-audit --no-fund --silent
	@[ -d $(APPLICATIONS)/pages/node_modules/reveal.js ] || npm install --prefix $(APPLICATIONS)/pages --no-audit --no-fund --silent

conformance-probes: setup-applications ## journeys on Django's admin, json-server and reveal.js behind nginx: green for GREEN=600 seconds, then every fault caught at weight 0
	cargo build --release --locked -p serinus
	python3 tests/applications/run.py --work $(APPLICATIONS) --serinus target/release/serinus --green $(GREEN) --record $(PROBES_RECORD)

bench-probes: setup-bench ## 500 journeys a second on one core beside live traffic, in turns with none; kept in benches/runs
	$(call need,python3,python3)
	cargo build --locked --profile dist -p serinus
	python3 benches/probes/many.py --serinus target/dist/serinus --record $(PROBES_RECORD)
	{ uname -srm; grep -m1 'model name' /proc/cpuinfo || true; echo "$(CORES) cores"; ./target/dist/serinus --version; git describe --always --dirty; } > $(PROBES_RECORD)/machine.txt

# Beside every record: what it was measured on.
machine = { uname -srm; grep -m1 'model name' /proc/cpuinfo || true; echo "$(CORES) cores"; rustc --version; ./target/dist/serinus --version; sha256sum target/dist/serinus; git describe --always --dirty; } > $(1)/machine.txt

SOAK_RECORD := benches/runs/$(shell date +%F)-soak
IDLE_RECORD := benches/runs/$(shell date +%F)-idle-connections
RELOADS_RECORD := benches/runs/$(shell date +%F)-reloads
SOAK_SECONDS ?= 3600

.PHONY: bench-soak bench-idle bench-reloads
bench-soak: setup-build ## an hour at 60% load with reloads, killed endpoints and failing canaries, every request accounted for; SOAK_SECONDS=3600; kept in benches/runs
	cargo build --locked --profile dist -p serinus -p serinus-benches --bin serinus --bin soak
	mkdir -p $(SOAK_RECORD)
	$(call machine,$(SOAK_RECORD))
	./target/dist/soak --serinus target/dist/serinus --record $(SOAK_RECORD) --seconds $(SOAK_SECONDS)

bench-idle: setup-bench ## memory of 10,000 idle connections, plain and TLS, beside nginx and HAProxy; kept in benches/runs
	$(call need,python3,python3)
	$(call need,openssl,openssl)
	cargo build --locked --profile dist -p serinus
	mkdir -p $(IDLE_RECORD)
	$(call machine,$(IDLE_RECORD))
	python3 benches/idle/connections.py --serinus target/dist/serinus --record $(IDLE_RECORD)

bench-reloads: setup-build ## 1,000 reloads and 20 binary upgrades under load without a failed request; kept in benches/runs
	cargo build --locked --profile dist -p serinus -p serinus-benches --bin serinus --bin reloads
	mkdir -p $(RELOADS_RECORD)
	$(call machine,$(RELOADS_RECORD))
	./target/dist/reloads --serinus target/dist/serinus --record $(RELOADS_RECORD)

install: setup-build ## the shipped build into PREFIX/bin (default /usr/local)
	cargo build --locked --profile dist -p serinus
	install -D -m 0755 target/dist/serinus $(DESTDIR)$(PREFIX)/bin/serinus

.PHONY: install-browser
install-browser: setup-build ## serinus-browser into PREFIX/bin, and Chromium: for probes that play recordings in a real browser
	$(call need,chromium,chromium)
	cargo build --locked --release -p serinus-browser
	install -D -m 0755 target/release/serinus-browser $(DESTDIR)$(PREFIX)/bin/serinus-browser

clean: ## what was built
	cargo clean
