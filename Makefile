# The verbs of the README. `make demo` and `make test` set up everything themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EARS := $(VENV)/.ears

.PHONY: demo ears test lint test-slow train-tiny bench clean

# Installed once, and again when the dependencies change.
$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; torch is large, this takes some minutes) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python generate.py --model bundles/oneshots --seed 7 --seconds 1.5 --out out/demo \
	  --prompt "a deep punchy kick drum" --prompt "a bright bell" \
	  --prompt "a soft acoustic guitar strum" --prompt "a tight snare"

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# What listens to sounds, fetched once (95 MB) and again when the list changes; tests and reports need it.
$(EARS): $(STAMP) evaluation/weights.py
	@$(BIN)/python -m pipelines.install_ears >/dev/null
	@touch $(EARS)

ears: $(EARS)

# Without a network the tests that need them are skipped, but never under CI.
test: lint
	@$(MAKE) --no-print-directory ears || echo "no ears: tests that need them are skipped"
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-slow: $(STAMP)
	@$(BIN)/python -m pytest -q -m slow

# Forty clips, three stages, at most ten minutes on two cores.
train-tiny: $(STAMP)
	@$(BIN)/python -m pipelines.train --audio $(AUDIO) --preset tiny --out runs/tiny

bench: $(STAMP)
	@$(BIN)/python -m pytest benchmarks -q -m "" --benchmark-disable-gc

clean:
	@rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache
