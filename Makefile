# `make demo` and `make test` are all that a newcomer needs; CONTRIBUTING.md says what the others are for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-backends test-fast check format lock clean

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "nas needs Python 3.11 to 3.13, this is %d.%d; try: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: OUT := results/demo-$(shell date +%Y%m%d-%H%M%S)
demo: install
	$(BIN)/nas search --config=demo --out=$(OUT)
	$(BIN)/nas retrain $(OUT) --top 2 --seeds 1 --epochs 20
	$(BIN)/nas predict $(OUT) docs/pictures/digit-3.png docs/pictures/digit-5.png docs/pictures/digit-8.png

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Keras on its other backends, each beside the installed packages, in a folder of its own: `pip` would never take it out again.
BACKENDS := .backends
JAX := 0.10.2
TORCH := 2.13.0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --target

test-backends: install
	[ -f $(BACKENDS)/jax/.whole-$(JAX) ] || { rm -rf $(BACKENDS)/jax && $(PIP) $(BACKENDS)/jax --no-deps jax==$(JAX) jaxlib==$(JAX) && touch $(BACKENDS)/jax/.whole-$(JAX); }
	[ -f $(BACKENDS)/torch/.whole-$(TORCH) ] || { rm -rf $(BACKENDS)/torch && $(PIP) $(BACKENDS)/torch torch==$(TORCH) && touch $(BACKENDS)/torch/.whole-$(TORCH); }
	KERAS_BACKEND=jax PYTHONPATH="$(CURDIR)/$(BACKENDS)/jax" $(BIN)/python -m pytest -n 2 -m backend
	KERAS_BACKEND=torch PYTHONPATH="$(CURDIR)/$(BACKENDS)/torch" $(BIN)/python -m pytest -n 2 -m backend

test-fast: install
	$(BIN)/python -m pytest -m "not slow"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs `uv`; writes names, versions and hashes for all supported Pythons and platforms, and no address.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:
	rm -rf $(VENV) $(BACKENDS) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
