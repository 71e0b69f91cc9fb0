PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/stamps/bytecode
CONTAINERS := $(or $(shell command -v podman),docker)
VARIANT := cpu
IMAGE := kembar:$(VARIANT)
LOCK := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes \
  --python-platform x86_64-manylinux_2_39 --custom-compile-command 'make lock'
# A temporary folder that goes at the end, with whatever tools and libraries leave in it.
SCRATCH := trap 'exit 1' HUP INT TERM; t=$$(mktemp -d -t k.XXXXXX) || exit 1; \
  trap 'chmod -R u+w "$$t"; rm -rf "$$t"' EXIT; TMPDIR=$$t
SET_UP := requirements.lock requirements-data.lock setup.py pyproject.toml scripts/bootstrap.py scripts/native_libs.py

.PHONY: setup run test suite test-all check mutate mnist lock image clean bench-quality bench-training

setup: $(READY)

$(READY): $(SET_UP)
	@$(SCRATCH) $(PYTHON) scripts/bootstrap.py && touch $(READY)

run: $(READY)
	@$(BIN)/kembar run configs/sts.toml

# The checks beside the tests: they take one core for a minute.
test: $(READY)
	@$(MAKE) --no-print-directory -j 2 check suite

# Three processes for two cores, because each waits at times for others, such as commands and servers. In the
# order of folders, because xdist's own puts the files with few and long tests last, where one process has
# nothing left to do.
suite: $(READY)
	@$(SCRATCH) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-all: check
	@$(SCRATCH) $(BIN)/python -m pytest -m ''

# Faults put into the modules whose numbers everything hangs on; with MODULES="cron losses", into those alone.
mutate: $(READY)
	@PYTHONPATH=. $(BIN)/python benchmarks/mutation.py $(MODULES)

# Data that some presets want and no package ships as a table.
mnist: data/mnist/test.parquet

data/mnist/test.parquet: $(READY) scripts/mnist_to_parquet.py
	@$(BIN)/python scripts/mnist_to_parquet.py $(BIN)/../lib/python3.11/site-packages/mnist/data/mnist.pkl.gz data/mnist

# How well pairs are scored; with SICK=DIR, where its files are, on SICK too.
bench-quality: $(READY)
	@PYTHONPATH=. $(BIN)/python benchmarks/pair_quality.py --baselines configs/sts.toml configs/sts_pretrained.toml \
	  configs/sts_finetuned.toml configs/seed.toml
	@test -z "$(SICK)" || PYTHONPATH=. $(BIN)/python benchmarks/pair_quality.py --baselines configs/sick.toml \
	  configs/sick_finetuned.toml configs/sick_entailment.toml configs/sick_entailment_pretrained.toml \
	  --set data.train=$(SICK)/SICK_train.txt --set data.eval=$(SICK)/SICK_trial.txt \
	  --set data.test=$(SICK)/SICK_test_annotated.txt

bench-training: $(READY)
	@PYTHONPATH=. $(BIN)/python benchmarks/pair_training.py

check: $(READY)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy --any-exprs-report .mypy_cache/report
	@$(BIN)/python scripts/typed.py .mypy_cache/report/any-exprs.txt trainer && $(BIN)/lint-imports
	@$(BIN)/python scripts/names.py trainer components pipeline schemas scripts benchmarks

# The images' locks are the first one's pins: less the tools, and with NVIDIA's libraries.
lock: $(READY)
	@$(LOCK) setup.py --extra dev --extra pretrained -o requirements.lock
	@$(LOCK) setup.py --extra pretrained -c requirements.lock -o requirements-cpu.lock
	@echo 'tensorflow[and-cuda]' | $(LOCK) setup.py - --extra pretrained -c requirements.lock -o requirements-gpu.lock

# make image VARIANT=gpu IMAGE=registry.example/kembar:0.1.0-gpu BUILD='--build-arg BASE=...'
image:
	$(CONTAINERS) build --build-arg VARIANT=$(VARIANT) --tag $(IMAGE) $(BUILD) \
	  --build-arg FINGERPRINT=$$($(PYTHON) -m pipeline.graph.fingerprint) .

# The environment alone: runs/ has what is served.
clean:
	rm -rf .venv
