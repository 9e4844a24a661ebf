# Everything runs in .venv, which is made on first use: python3 and make are all that has to be there.
#
#   make reproduce                                  both tables on synthetic faces
#   make reproduce DATASET=raf-db DATA_ROOT=/data/RAF-DB/basic PROFILE=paper
#   make table2 EXPERIMENT=demo
#
# TORCH  the requirement that pip installs first, for another build of torch than the index's own, for example
#        TORCH='torch torchvision --index-url <index of CPU builds>'
# PYTHON the interpreter that makes .venv

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= demo
TORCH ?= torch torchvision

export PYTHONWARNINGS ?= ignore

# Every variable reaches ferfuse as it was typed, brackets, backslashes and quotes included.
VARIABLES := PROFILE DATASET DATA_ROOT EXPERIMENT SEEDS METHODS BACKBONES ARMS PLUGIN QUESTION AGAINST SET ACCEPT TUNED TRIALS \
    STUDIES ENGINE DEVICE WORKERS RETRY_FAILED PDF ALL TUNE_BACKBONES TORCH PYTHON VENV
blank := $() $()
typed := $(foreach pair,$(subst \$(blank),@,$(MAKEOVERRIDES)),$(firstword $(subst =, ,$(pair))))
misspelt := $(firstword $(filter-out $(VARIABLES) PYTHONWARNINGS,$(typed)))
ifneq ($(misspelt),)
$(error unknown variable $(misspelt); $(shell $(PYTHON) -c 'import difflib, sys; near = difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1, 0.5); print("did you mean " + near[0] + "?" if near else "known: " + " ".join(sys.argv[2:]))' '$(misspelt)' $(VARIABLES)))
endif
quote = '$(subst ','\'',$(1))'
each = $(foreach word,$(2),$(1) $(call quote,$(word)))
all = $(if $(2),$(1) $(foreach word,$(2),$(call quote,$(word))))

# Which experiment: ferfuse names it after profile and data, unless EXPERIMENT does.
chosen = --profile $(call quote,$(PROFILE)) $(if $(EXPERIMENT),--experiment $(call quote,$(EXPERIMENT))) \
    $(if $(DATASET),--dataset $(DATASET)) $(if $(DATA_ROOT),--data-root $(call quote,$(DATA_ROOT)))
settings = $(if $(SEEDS),--seeds $(SEEDS)) $(call all,--backbones,$(BACKBONES)) $(call all,--methods,$(METHODS)) \
    $(call all,--arms,$(ARMS)) $(call all,--plugin,$(PLUGIN)) $(call each,--set,$(SET)) \
    $(call all,--question,$(QUESTION)) $(call all,--against,$(AGAINST))
running = $(if $(ENGINE),--engine $(ENGINE)) $(if $(DEVICE),--device $(DEVICE)) $(if $(WORKERS),--workers $(WORKERS)) \
    $(if $(RETRY_FAILED),--retry-failed) $(call all,--accept,$(ACCEPT))

.DEFAULT_GOAL := help
.PHONY: help install install-dev reproduce plan status table1 table2 table3 table4 report power ui track tune audit bench parity findings docs test test-slow lint clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	    || sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1  \2/p' Makefile
	@echo "Variables: $(VARIABLES)"

install: $(BIN)/.installed ## Set up .venv

install-dev: $(BIN)/.installed-dev

$(BIN)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing torch and ferfuse into $(VENV) (once, a few minutes; about 5 GB with the usual build of torch, TORCH=... names a smaller one)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

reproduce: $(BIN)/.installed ## Run whatever is not finished, print Tables 1 and 2
	@$(BIN)/ferfuse reproduce $(chosen) $(settings) $(if $(TUNED),--tuned) $(running)

plan: $(BIN)/.installed ## List the runs, which are finished, and what time and memory the others will take
	@$(BIN)/ferfuse plan $(chosen) $(settings) $(if $(DEVICE),--device $(DEVICE))

status: $(BIN)/.installed ## Tell which runs are done, running, failed or waiting, and why
	@$(BIN)/ferfuse status $(chosen)

table1: $(BIN)/.installed ## Print Table 1 from the ledger
	@$(BIN)/ferfuse table 1 $(chosen)

table2: $(BIN)/.installed ## Print Table 2 from the ledger
	@$(BIN)/ferfuse table 2 $(chosen)

report: $(BIN)/.installed ## Write all tables, verdicts, figures and the page into reports/ (PDF=1: report.pdf too)
	@$(BIN)/ferfuse report $(chosen) $(if $(PDF),--pdf)

power: $(BIN)/.installed ## Tell which differences could be seen by now, and what would bring a verdict
	@$(BIN)/ferfuse power $(chosen)

ui: $(BIN)/.installed ## Open the results in MLflow, on this machine alone
	@$(BIN)/ferfuse ui $(chosen)

audit: $(BIN)/.installed ## Tell which methods' predictions depend on their batch
	@$(BIN)/ferfuse audit $(chosen) $(call all,--methods,$(METHODS)) $(call all,--plugin,$(PLUGIN))

table3: $(BIN)/.installed ## Print Table 3, readings by evaluation order (ARMS=readings, then audit)
	@$(BIN)/ferfuse table 3 $(chosen)

table4: $(BIN)/.installed ## Print Table 4, fusion and its controls (ARMS=controls)
	@$(BIN)/ferfuse table 4 $(chosen)

findings: $(BIN)/.installed ## Write docs/findings.md and the top of README from a published ledger (EXPERIMENT)
	@$(BIN)/python -m tools.findings $(EXPERIMENT)

docs: ## Build the documentation into build/site; a warning is an error
	@test -x build/docs-venv/bin/mkdocs || ($(PYTHON) -m venv build/docs-venv && build/docs-venv/bin/python -m pip install --quiet "mkdocs-material>=9" "mkdocstrings[python]>=0.26")
	@build/docs-venv/bin/mkdocs build --quiet --strict

bench: $(BIN)/.installed ## Measure speed: on a CPU against the plain way of the same work, on a GPU as a share of its peak
	@$(BIN)/python -m tools.bench speed $(if $(DEVICE),--device $(DEVICE))

parity: $(BIN)/.installed ## Train a network the fast and the plain way, and compare their accuracies (DATASET, DATA_ROOT, SEEDS)
	@$(BIN)/python -m tools.bench parity --profile $(PROFILE) $(if $(DATASET),--dataset $(DATASET)) \
	    $(if $(DATA_ROOT),--data-root $(call quote,$(DATA_ROOT))) $(if $(SEEDS),--seeds $(SEEDS)) $(call each,--set,$(SET)) \
	    $(if $(DEVICE),--device $(DEVICE)) $(if $(WORKERS),--workers $(WORKERS))

tune: $(BIN)/.installed ## Search each method's settings on validation (METHODS, TRIALS, STUDIES), then TUNED=1 uses them
	@$(BIN)/ferfuse tune $(chosen) \
	    $(if $(METHODS)$(TUNE_BACKBONES),$(if $(METHODS),--method $(METHODS)) $(if $(TUNE_BACKBONES),--backbone $(TUNE_BACKBONES)),--all) \
	    $(if $(TRIALS),--trials $(TRIALS)) $(if $(STUDIES),--studies $(STUDIES)) $(if $(PLUGIN),--plugin $(PLUGIN)) \
	    $(call each,--set,$(SET)) $(if $(DEVICE),--device $(DEVICE))

track: $(BIN)/.installed ## Write whatever MLflow lacks of an experiment
	@$(BIN)/ferfuse track --sync $(chosen)

test: $(BIN)/.installed-dev ## Run the tests: no network, no GPU, under ten minutes on two cores
	@$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(BIN)/.installed-dev ## Run the tests that take minutes
	@$(BIN)/python -m pytest -m slow

lint: $(BIN)/.installed-dev ## Check format, style, types and import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean: ## Delete what can be made again: reports, decoded and drawn images (ALL=1: results, imported data, mlflow.db too)
	@rm -rf data/store data/unpacked data/synthetic $(if $(ALL),data mlruns mlflow.db)
	@find reports $(if $(ALL),results) -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
