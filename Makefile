# All development commands. `make` alone lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := .tools/uv/bin/uv
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup
BUF := node_modules/.bin/buf
PROTO_PYTHON := .tools/proto/bin/python
DATA ?= .attachery
LISTEN ?= 127.0.0.1:50051
FILE ?= README.md
# Tests that may depend on the machine or the interpreter: text, TLS, processes, signals.
QUICK_TESTS := tests/unit/domain/test_filenames.py tests/rpc/test_jwt.py tests/cli/test_server_processes.py \
  tests/adapters/s3/test_fast_reads.py::test_a_private_authority_is_trusted_where_the_sdk_is_told_to
# What `make test-pythons QUICK=1` runs on each interpreter.
PYTHONS_TESTS := tests/unit tests/packaging/test_client_install.py tests/packaging/test_distribution.py \
  tests/cli/test_server_processes.py
# uv trusts the machine's certificates, if it has some, as pip and curl do. A bare Debian has none.
CERTIFICATES := $(SSL_CERT_FILE) $(wildcard /etc/ssl/cert.pem /etc/ssl/certs/*.crt /etc/pki/tls/certs/*.crt)
export UV_SYSTEM_CERTS := $(if $(strip $(CERTIFICATES)),true,false)
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help run gateways demo test test-rest test-all coverage test-fresh test-pythons test-ceph test-shutdown bench profile trace prose docs settings compatibility check format lint types imports protos proto clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

run: $(VENV)/ready ## serve with embedded Postgres and object storage (LISTEN, DATA)
	@exec $(BIN)/attachery dev --listen "$(LISTEN)" --data-dir "$(DATA)"

gateways: $(VENV)/ready ## `make run` with the gateways of examples/gateways in front of it (LISTEN, DATA)
	@exec $(BIN)/python examples/gateways/run.py --listen "$(LISTEN)" --data-dir "$(DATA)"

demo: $(VENV)/ready ## take one file through the whole flow (FILE=README.md)
	@$(BIN)/attachery demo "$(FILE)"

test: $(VENV)/ready ## the suite without its exhaustive tests, on real servers (TESTS="tests/unit …": all of these)
	$(PYTEST) $(if $(TESTS),$(TESTS),-m "not exhaustive")

test-rest: $(VENV)/ready ## the exhaustive tests: matrices, installations, crash loops, the previous release
	$(PYTEST) -m exhaustive

test-all: test test-rest ## the whole suite, as in CI

coverage: $(VENV)/coverage ## branch coverage of the tests, shown here and in .coverage/html (TESTS="tests/unit …")
	rm -rf .coverage && mkdir .coverage
	$(BIN)/coverage run -m pytest -n 2 --dist loadgroup $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

test-fresh: ## both README commands on a fresh Debian 12, for root (QUICK=1: a part of the suite)
	tests/fresh/run.sh 'make .venv/ready && .venv/bin/python tests/fresh/try_run.py && make demo && make test$(if $(QUICK), TESTS="$(QUICK_TESTS)")'

test-pythons: $(UV) ## the suite and the demo on every other CPython of this machine (QUICK=1: unit and packaging tests)
	tests/pythons.sh $(PYTHON) $(if $(QUICK),$(PYTHONS_TESTS))

test-ceph: $(VENV)/ready ## tests of object storage on Ceph RGW, built once into ~/.cache/attachery
	tests/ceph/build-root.sh
	$(BIN)/pytest -n 2 --dist loadgroup --store ceph tests/adapters/s3 tests/rpc/test_sealing.py tests/worker/test_notifications.py tests/cli/test_bucket.py

test-shutdown: $(VENV)/ready ## stop servers under load 20 times, restart them 20 times, print the results of the callers
	$(BIN)/pytest -s --timeout 0 --shutdown-rounds 20 tests/cli/test_shutdown.py

bench: $(VENV)/bench ## run the benchmarks, beside floors and a peer (ONLY=get,complete or QUICK=1)
	@PYTHONPATH=tests $(BIN)/python -m bench $(if $(ONLY),--only "$(ONLY)") $(if $(QUICK),--quick)

profile: $(VENV)/bench ## a flame graph of the service under one RPC (RPC=Complete)
	@PYTHONPATH=tests $(BIN)/python -m bench.profiling $(if $(RPC),--rpc "$(RPC)")

trace: $(VENV)/bench ## count the Python frames of one call (RPC=Start, FILES=1 lists the files)
	@PYTHONPATH=tests $(BIN)/python -m bench.tracing $(if $(RPC),--rpc "$(RPC)") $(if $(FILES),--files)

check: format lint prose types imports protos docs test test-rest ## format, lint, prose, types, imports, protos, docs and tests

format: $(VENV)/ready
	$(BIN)/ruff format --check

lint: $(VENV)/ready
	$(BIN)/ruff check

types: $(VENV)/bench
	$(BIN)/mypy
	MYPYPATH=examples/gateways $(BIN)/mypy --cache-dir .mypy_cache/examples examples/gateways

imports: $(VENV)/ready
	PYTHONPATH=service:generated $(BIN)/lint-imports

prose: ## fail above 3 idioms per 1,000 words of docstrings, comments or documents
	@$(PYTHON) scripts/measure-code.py --check service packages scripts tests examples

docs: $(VENV)/ready ## build the documentation as a site, in site/; fails for a broken link
	$(BIN)/python scripts/generate-settings.py --check
	$(BIN)/python scripts/generate-compatibility.py --check
	UV_PROJECT_ENVIRONMENT=.venv-docs $(UV) sync --quiet --frozen --only-group docs --python $(PYTHON)
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

settings: $(VENV)/ready ## generate docs/settings.md from the settings classes
	$(BIN)/python scripts/generate-settings.py

compatibility: $(VENV)/ready ## generate docs/compatibility.md from tests/requirements.toml and the markers of tests
	$(BIN)/python scripts/generate-compatibility.py

protos: $(PROTO_PYTHON) $(BUF) ## lint, format, breaking changes and freshness of the contract
	scripts/check-protos.sh $(PROTO_PYTHON) $(BUF)

proto: $(PROTO_PYTHON) ## generate the stubs and the descriptor set
	scripts/generate-stubs.sh $(PROTO_PYTHON)

clean: ## remove the environments and the site (not the data of `make run`)
	rm -rf $(VENV) .venv-* .tools node_modules site

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Attachery needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

$(VENV)/ready: $(UV) pyproject.toml $(wildcard packages/*/pyproject.toml) uv.lock
	$(UV) sync --quiet --frozen --all-packages --all-extras --python $(PYTHON)
	@$(BIN)/python -c 'import grpc' 2>/dev/null || { echo "gRPC cannot be loaded; is the C++ runtime missing? (Debian: apt-get install libstdc++6)" >&2; exit 1; }
	@touch $@

$(VENV)/coverage: $(VENV)/ready
	$(UV) sync --quiet --frozen --inexact --all-packages --all-extras --group coverage --python $(PYTHON)
	@touch $@

$(VENV)/bench: $(VENV)/ready
	$(UV) sync --quiet --frozen --all-packages --all-extras --group bench --python $(PYTHON)
	@touch $@

$(PROTO_PYTHON): $(UV) scripts/proto-requirements.txt
	$(UV) venv --quiet --clear --python $(PYTHON) .tools/proto
	$(UV) pip install --quiet --python $@ -r scripts/proto-requirements.txt
	@touch $@

$(BUF): package.json package-lock.json
	@command -v npm >/dev/null || { echo "make protos needs npm (Debian: apt-get install npm)" >&2; exit 1; }
	npm install --no-save --ignore-scripts --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@
