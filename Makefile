PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install quickstart test check format bench bench-criteria bench-attacks bench-studies

help:
	@echo "make quickstart   the main job: prune a ResNet-56, attack it, answer (needs nothing but Python)"
	@echo "make test         the tests"
	@echo "make check        format, lint, types and tests"
	@echo "make bench        speed of training beside a plain PyTorch loop"
	@echo "make bench-criteria   speed of the pruning criteria beside the way that public code computes them"
	@echo "make bench-attacks   speed and agreement of the attacks beside public libraries, those that are installed"
	@echo "make bench-studies   the scheduler's overhead, and runs that are killed again and again, a large report"
	@echo "make install      the virtual environment alone, in .venv"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/windfirm quickstart

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

check: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

bench: $(STAMP)
	$(BIN)/python -m benchmarks.train

bench-criteria: $(STAMP)
	$(BIN)/python -m benchmarks.criteria --kl-sample 40

bench-attacks: $(STAMP)
	$(BIN)/python -m benchmarks.attacks

bench-studies: $(STAMP)
	$(BIN)/python -m benchmarks.scheduling
	$(BIN)/python -m benchmarks.faults
	$(BIN)/python -m benchmarks.report
