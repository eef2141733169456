# make demo | test | check | protos | bench | page | chaos | strikes | simulate | steady | leak | install | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install -q
PROTOC = PATH="$(CURDIR)/.venv-protos/bin:$$PATH" .venv-protos/bin/python -m grpc_tools.protoc -Iprotos
PYTEST ?= $(BIN)/python -m pytest

.PHONY: install demo protos check test test-shop test-models test-models-beside bench page chaos strikes simulate steady leak clean

install: $(VENV)/.server

demo: install
	$(BIN)/lookalike-server demo $(if $(ONCE),--once) $(if $(HOST),--http-host $(HOST)) $(if $(HTTP_PORT),--http-port $(HTTP_PORT))

# Everything that must hold. tests/models needs torch and runs in a venv of its own, as a user of the extra would have it;
# it computes while the others mostly wait, and says in the end how it went.
test: check postgresql chromium
	$(MAKE) --jobs=2 test-shop test-models-beside

test-models-beside:
	$(MAKE) --output-sync test-models

test-shop: $(VENV)/.test
	$(PYTEST) --ignore=tests/models

test-models: .venv-models/.done
	.venv-models/bin/python -m pytest tests/models

check: $(VENV)/.test .venv-protos/.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -q tests/test_layers.py
	rm -rf build/protos && mkdir -p build/protos/lookalike/v1
	$(call generate,build/protos)
	diff -r -x __init__.py -x __pycache__ build/protos/lookalike/v1 client/lookalike/v1 # stale? make protos

# The oldest supported generator: its code runs on every newer runtime, the reverse does not hold.
generate = $(PROTOC) --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) protos/lookalike/v1/*.proto

protos: .venv-protos/.done
	$(call generate,client)

# The pipeline that bench/search.py compares with needs torch.
bench: $(VENV)/.test .venv-models/.done
	$(BIN)/python bench/router.py --json
	$(BIN)/python bench/search.py --python .venv-models/bin/python --json
	$(BIN)/python bench/models.py --json
	.venv-models/bin/python bench/training.py --json

# The page in Debian's Chromium.
page: $(VENV)/.test chromium
	$(BIN)/python -m bench.page --json

# Real processes that die, stop and lose each other: SECONDS=1500 SEED=7; KILLS=500 goes on until so many were killed.
chaos: $(VENV)/.test
	$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills-at-least $(KILLS))

# Whoever has to do with a rebalance is killed at each of its steps: ROUNDS=800 SEED=7; WITHOUT=proof must lose rows.
strikes: $(VENV)/.test
	$(BIN)/python -m tests.chaos.moving $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(WITHOUT),--without $(WITHOUT))

# The same router code on a fake clock, with fake shards and a fake store: SCHEDULES=100000 SEED=7; MOVING=1 moves slots too.
simulate: $(VENV)/.test
	$(BIN)/python -m tests.simulation $(if $(SCHEDULES),--schedules $(SCHEDULES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(MOVING),--moving) --processes 2

# What a shopper feels while replicas die, and whether a router that hedges leaks; SECONDS as above.
steady leak: $(VENV)/.test
	$(BIN)/python -m tests.chaos.$@ $(if $(SECONDS),--seconds $(SECONDS))

clean:
	rm -rf .venv .venv-protos .venv-models build dist lookalike-data

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) debian PACKAGES=python3-venv
	$(PYTHON) -m venv $(VENV)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install -q --upgrade pip

$(VENV)/.server: pyproject.toml | $(VENV)/bin/pip
	$(PIP) -e '.[server]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/pip
	$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.server

.venv-protos/.done:
	$(PYTHON) -m venv .venv-protos
	PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-protos/bin/pip install -q grpcio-tools==1.66.2 mypy-protobuf==3.6.0 setuptools
	@touch $@

.venv-models/.done: pyproject.toml
	ldconfig -p | grep -q libGL.so.1 || $(MAKE) debian PACKAGES="libgl1 libglib2.0-0"
	$(PYTHON) -m venv .venv-models
	PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-models/bin/pip install -q --upgrade pip
	PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-models/bin/pip install -q -e '.[models,test]'
	@touch $@

# The store's tests start a PostgreSQL of their own. Who may not install it does without: those tests are skipped then.
.PHONY: postgresql
postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || test -n "$$LOOKALIKE_TEST_POSTGRES" || test "$$(id -u)" != 0 || \
		$(MAKE) debian PACKAGES=postgresql

# The page's tests drive it; they are skipped without.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || test -n "$$LOOKALIKE_TEST_CHROMIUM" || \
		test "$$(id -u)" != 0 || $(MAKE) debian PACKAGES=chromium

.PHONY: debian
debian:
	@test "$$(id -u)" = 0 || { echo "missing on this machine: $(PACKAGES); as root: apt-get install $(PACKAGES)" >&2; exit 1; }
	apt-get update -q && apt-get install -q -y --no-install-recommends $(PACKAGES)
