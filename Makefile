# Every target works from a bare checkout with only Python >= 3.11, a C compiler and make.
#   PYTHON   the interpreter that .venv is made from      make venv PYTHON=python3.12
#   ARGS     goes on to demo, test and bench              make test ARGS="tests/dp -x"

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON  ?= python3
ARGS    ?=
TARGET  ?=
SECONDS ?= 60

VENV := .venv
BIN  := $(abspath $(VENV))/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check --quiet

# An editable meson-python package rebuilds itself on import and finds ninja on the PATH.
export PATH := $(BIN):$(PATH)

# What follows the .pth file of an editable install hides two things: the source folder from import-linter,
# and a second build from Python. `python -S` does not read it; these are the folders it then has to be told.
SITE     = $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
UNEDITED = PYTHONPATH="$(abspath src):$(SITE)"

INSTALLED     := $(VENV)/.installed
KERNELS       := $(shell find src -name '*.pyx')
KERNEL_STUBS  := $(wildcard $(KERNELS:.pyx=.pyi))
KERNEL_NAMES  := $(subst /,.,$(KERNEL_STUBS:src/%.pyi=%))


.PHONY: help venv demo test lint format bench asv timing docs sanitize fuzz clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)


# --- the environment ------------------------------------------------------------------------------

venv: $(INSTALLED)  ## create .venv with everything that test, lint and demo need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "medcrypt needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	         "choose another with: make venv PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip

$(INSTALLED): $(BIN)/python pyproject.toml meson.build $(wildcard src/medcrypt/_ext/meson.build)
	@echo "installing medcrypt into $(VENV)"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	    > $(VENV)/build-requirements.txt
	@$(PIP) install ninja -r $(VENV)/build-requirements.txt
	@$(PIP) install --no-build-isolation -e '.[test,lint,demo]'
	@touch $@

# The extras of the targets below are installed the first time that one of them is asked for.
$(VENV)/.extra-%: $(INSTALLED)
	@echo "installing the [$*] extra"
	@$(PIP) install --no-build-isolation -e '.[$*]'
	@touch $@


# --- what a person runs ---------------------------------------------------------------------------

demo: venv  ## the whole job on real images: seal, open, learn together, count the privacy
	@$(BIN)/medcrypt demo $(ARGS)

test: venv  ## run the tests (HYPOTHESIS_PROFILE=fast|ci|deep)
	@$(BIN)/pytest -q $(ARGS)

lint: venv  ## ruff, mypy --strict, stubtest, import-linter, cython-lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict
	@$(if $(KERNEL_NAMES),MYPYPATH=src $(BIN)/stubtest $(KERNEL_NAMES),:)
	@$(UNEDITED) $(BIN)/python -S $(BIN)/lint-imports --no-logo
	@$(BIN)/cython-lint src

format: venv  ## let ruff lay out the code and sort the imports
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --select I --fix .

bench: $(VENV)/.extra-bench  ## the side-by-side table against other libraries
	@$(BIN)/python benchmarks/peers.py $(ARGS)

asv: $(VENV)/.extra-bench  ## run every asv benchmark once, on the installed build
	@$(BIN)/asv --config benchmarks/asv.conf.json machine --yes > /dev/null
	@$(BIN)/asv --config benchmarks/asv.conf.json run --quick --show-stderr --environment existing:$(BIN)/python

timing: venv  ## is the time of the kernels independent of secrets? (statistical; wants a quiet machine)
	@$(BIN)/python benchmarks/timing.py $(ARGS)

docs: $(VENV)/.extra-docs  ## build the documentation; a warning is an error
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"


# --- what looks for memory errors -----------------------------------------------------------------

SANITIZED := build/sanitize
SANITIZE_TESTS ?= $(wildcard tests/_ext tests/images)

sanitize: venv  ## the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(PIP) install --no-build-isolation --no-deps --upgrade --target $(SANITIZED)/site . \
	    -Cbuild-dir=$(SANITIZED)/meson -Csetup-args=-Dbuildtype=debugoptimized \
	    -Csetup-args=-Db_sanitize=address,undefined -Csetup-args=-Db_lundef=false
	@echo 'raise ImportError("pycryptodome opens its libraries through cffi in a way that sanitizers refuse")' \
	    > $(SANITIZED)/site/cffi.py
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc \
	    PYTHONPATH="$(abspath $(SANITIZED)/site):$(SITE)" \
	    $(BIN)/python -S -m pytest -q --capture=sys $(SANITIZE_TESTS) $(ARGS)

fuzz: $(VENV)/.extra-fuzz  ## throw bytes at every parser (TARGET=name, SECONDS=60 each)
	@$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS) $(TARGET)

clean:  ## remove everything that the targets above made
	@rm -rf $(VENV) build dist docs/_build docs/generated benchmarks/asv .hypothesis .pytest_cache .mypy_cache \
	    .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
