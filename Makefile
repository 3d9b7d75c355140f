# `make demo` and `make test` need no set-up: each does its own.
PYTHON ?= python3
BIN := .venv/bin
# Every test on its own, on all cores; a worker that is done takes from the end of another's list.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
# What `make check` leaves to `make test`: whole journeys, and what needs PyTorch, a sandbox or a counterpart.
# Attacks on one area lie in a folder of tests/attacks; those directly in it attack whole journeys.
QUICK_TESTS := tests --ignore=tests/journey --ignore-glob='tests/attacks/test_*.py' --ignore=tests/attacks/sandbox \
  --ignore=tests/interop --ignore=tests/sandbox
QUICK := -m "not torch and not slow and not sandbox" $(QUICK_TESTS)
MEASURED := -m "not torch and not sandbox" $(QUICK_TESTS)

.PHONY: demo test test-peers test-frameworks check coverage lint docs bench accept accept-peers accept-frameworks lock clean help

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

demo: .all       ## set up, then the whole journey and the attacks that it stops
	@$(BIN)/python tools/demo.py

test: .all       ## set up, then every test that this machine can run; the rest is named last
	@$(BIN)/python -m pytest -q $(PARALLEL)

test-peers: .all ## set up, build the real counterparts once, then the tests that need any (needs Go)
	@$(PYTHON) tools/peers.py >/dev/null
	@$(BIN)/python -m pytest -q $(PARALLEL) -m needs
	@$(BIN)/python -m pytest -q tests/peers

test-frameworks: ## set up the training frameworks once, then what each really writes is scanned (several GB)
	@$(PYTHON) tools/setup.py frameworks
	@.venv-frameworks/bin/python -m pytest -q -n 2 --dist loadfile tests/frameworks

check: .check lint  ## the inner loop, under two minutes: lint, types, import contract, the tests of each package
	@$(BIN)/python -m pytest -q $(PARALLEL) --hypothesis-profile=quick $(QUICK)

coverage: .check ## the tests of `make check` and the slow ones beside them, measured: fails below the floor in pyproject.toml
	@$(BIN)/python -m pytest -q $(PARALLEL) --cov --cov-report= $(MEASURED)

lint: .check     ## ruff, mypy, the import contract, links and navigation of the documents
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/docs_site.py

docs:            ## the documentation site, in .cache/site
	@$(PYTHON) tools/setup.py docs
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo .cache/site/index.html

bench: .all      ## the figures that the documentation quotes, as ratios
	@$(BIN)/python bench/run.py

accept: .all     ## rewrite golden outputs and generated documents, so that a diff shows what changed
	@TUNEGUARD_ACCEPT=1 $(BIN)/python -m pytest -q -m golden

accept-frameworks: ## as test-frameworks, and rewrite docs/frameworks.md with what was tried
	@$(PYTHON) tools/setup.py frameworks
	@TUNEGUARD_ACCEPT=1 .venv-frameworks/bin/python -m pytest -q -n 2 --dist loadfile tests/frameworks

accept-peers: .all  ## as test-peers, and rewrite docs/interop.md with what was proved
	@$(PYTHON) tools/peers.py >/dev/null
	@TUNEGUARD_ACCEPT=1 $(BIN)/python -m pytest -q tests/peers

lock: .check     ## resolve the requirements anew (needs uv)
	@cd requirements && uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header all.in -o all.txt
	@cd requirements && uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c all.txt check.in -o check.txt
	@cd requirements && uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c all.txt docs.in -o docs.txt
	@cd requirements && uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c all.txt frameworks.in -o frameworks.txt

clean:           ## remove what set-up and the demo made
	@rm -rf .venv .venv-docs .venv-frameworks .cache build *.egg-info src/*.egg-info

.PHONY: .check .all
.check:
	@$(PYTHON) tools/setup.py check
.all:
	@$(PYTHON) tools/setup.py all
