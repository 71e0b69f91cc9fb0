PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/stamps/bytecode
SET_UP := requirements.lock requirements-data.lock setup.py pyproject.toml scripts/bootstrap.py scripts/native_libs.py

.PHONY: setup run test test-all check mnist lock image clean

setup: $(READY)

$(READY): $(SET_UP)
	@$(PYTHON) scripts/bootstrap.py && touch $(READY)

run: $(READY)
	@$(BIN)/kembar run configs/sts.toml

# Two processes: most of an end-to-end test is imports, on one core.
test: check
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: check
	@$(BIN)/python -m pytest -m ''

# Data that some presets want and no package ships as a table.
mnist: data/mnist/test.parquet

data/mnist/test.parquet: $(READY) scripts/mnist_to_parquet.py
	@$(BIN)/python scripts/mnist_to_parquet.py $(BIN)/../lib/python3.11/site-packages/mnist/data/mnist.pkl.gz data/mnist

check: $(READY)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

lock: $(READY)
	@$(BIN)/uv pip compile setup.py --extra dev --quiet --python-version 3.11 --generate-hashes \
	  --python-platform x86_64-manylinux_2_39 --custom-compile-command 'make lock' -o requirements.lock

image:
	docker build -t kembar .

clean:
	rm -rf .venv runs
