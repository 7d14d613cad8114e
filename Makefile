# Everything installs itself into .venv, from the versions in requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadgroup
ANYWHERE := $(addprefix tests/,test_files.py footprint/test_sensors.py footprint/test_program.py \
    lidc/test_build.py study/test_devices.py study/test_run.py)

.PHONY: help book labs labs-offline test test-all snakemake lock clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

book: $(VENV)/.installed  ## train the demo study (reusing what is done) and build the book
	$(BIN)/carbon-midl study run studies/demo.toml
	$(BIN)/python -m studies.answer
	$(BIN)/carbon-midl book build

test: $(VENV)/.installed  ## lint, type-check and test everything, the built book included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	# As on macOS, and in a container without /proc and HOME.
	env -u HOME PYTHONPATH=$(CURDIR)/tests/no_linux $(BIN)/pytest -m "not slow" $(ANYWHERE)
	$(PYTEST)

test-all: test  ## the same, and the exhaustive comparisons, which take long
	$(PYTEST) -m exhaustive

# In an environment of its own: it holds back packages that the book and the searches use in newer releases.
snakemake: .venv-snakemake/.installed  ## install Snakemake with its SLURM executor into .venv-snakemake

.venv-snakemake/.installed: cluster/requirements.lock
	$(PYTHON) -m venv .venv-snakemake
	.venv-snakemake/bin/python -m pip install --quiet --requirement cluster/requirements.lock
	touch $@

# For a class: neither study nor book. This index has torch without CUDA, which only Linux has to be told.
labs labs-offline: export PIP_EXTRA_INDEX_URL ?= https://download.pytorch.org/whl/cpu

labs: .venv-labs/.installed  ## write the labs as notebooks into labs/, with JupyterLab in an environment of their own
	.venv-labs/bin/python book/_ext/labs.py labs
	@echo "Start them with: .venv-labs/bin/jupyter lab labs"

labs-offline: labs  ## make labs-offline/, a folder for a class without network: packages, notebooks, results, book
	.venv-labs/bin/python -m pip wheel --quiet --wheel-dir labs-offline/wheels --constraint requirements.lock '.[labs]'
	mkdir -p labs-offline/labs labs-offline/results
	cp book/course/START.txt labs-offline
	cp labs/*.ipynb labs-offline/labs
	cp -r $(addprefix results/,lidc lidc-length lidc-use recipes) labs-offline/results
	test ! -d book/_build/html || cp -r book/_build/html/. labs-offline/book

.venv-labs/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv-labs
	.venv-labs/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[labs]'
	touch $@

# torch pins its CUDA packages itself; naming them in the lock would install them on machines without a GPU.
lock:  ## choose new versions for requirements.lock within the ranges of pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --upgrade --quiet --no-annotate --no-header --output-file .lock
	{ echo '# Made by "make lock" from pyproject.toml; do not edit.'; grep -vE '^(nvidia-(cu|nccl|nv)|cuda-|triton)' .lock; } > requirements.lock
	rm .lock
	$(BIN)/uv pip compile cluster/requirements.in --universal --upgrade --quiet --no-annotate --no-header --python-version 3.11 --output-file .lock
	{ echo '# Made by "make lock" from cluster/requirements.in; do not edit.'; cat .lock; } > cluster/requirements.lock
	rm .lock

clean:  ## remove what was trained, rendered and built (not .venv)
	rm -rf runs data/phantom book/_generated book/_build

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "carbon-midl needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install -qq --no-deps --editable .
	touch $@
