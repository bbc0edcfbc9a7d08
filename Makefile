# make demo · make test · make bench · make fuzz · make ui: each sets up .venv first if it is not there.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

FUZZ_SECONDS ?= 60
FUZZ := $(addprefix fuzz-,framing example video schema)

.PHONY: demo test kills quick bench fuzz $(FUZZ) ui lint clean

demo: .venv/.run
	mlflow run . -e main --env-manager local

# A process a core; each of them with one thread.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

# What takes too long for every time: an ingest killed with -9 at 50 random moments; kills, races and a database that
# goes away on every storage.
kills: .venv/.test
	$(BIN)/python -m pytest -m kills
	KILLS=50 $(BIN)/python -m pytest tests/records/test_interruption.py -k random_moments

quick: lint
	$(BIN)/python -m pytest -m "not slow and not kills"

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/.test
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.read
	$(BIN)/python -m benchmarks.epoch
	$(BIN)/python -m benchmarks.frames
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.video
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.train --models
	$(BIN)/python -m benchmarks.unigram
	$(BIN)/python -m benchmarks.codebook
	$(BIN)/python -m benchmarks.textcnn
	$(BIN)/python -m benchmarks.text
	$(BIN)/python -m benchmarks.language
	$(BIN)/python -m benchmarks.ensemble

# Each target for FUZZ_SECONDS, from the corpus that earlier runs left in .fuzz; an input that breaks it is kept there.
fuzz: $(FUZZ)

$(FUZZ): fuzz-%: .venv/.fuzz
	PYTHONPATH=tests $(BIN)/python -m fuzz.$* .fuzz/$* -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1

# The UI opens in its GenAI view unless the address asks for the other one.
ui: .venv/.run
	@echo "open http://127.0.0.1:5000/#/experiments/0/runs?workflowType=machine_learning"
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --workers 1

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info

# A stamp an environment: pip runs again only when what it installs has changed.
.venv/.run: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python must be 3.11 or newer, it is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.test: requirements-test.txt .venv/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

.venv/.fuzz: .venv/.test pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@
