# Short names for what people do with the project. `make` alone lists them.
# All of them work in the virtual environment that is active, or make one in .venv.
SHELL := bash
SETUP := source scripts/setup.sh dev &&

.DEFAULT_GOAL := help
.PHONY: help setup test quick slow browser fuzz lint docs

help:  ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ \t/'

setup:  ## install the project with everything that its development needs
	@$(SETUP) true

test:  ## run the whole test suite
	@scripts/test

quick:  ## run the tests that take no longer than a moment each
	@scripts/test -m "not slow and not long"

slow:  ## run the whole test suite and note which tests are too slow for `make quick`
	@$(SETUP) python -m pytest --measure

fuzz:  ## read damaged pictures, styles and films for ten minutes
	@$(SETUP) python scripts/fuzz.py

browser:  ## test the pages in Chromium
	@$(SETUP) python -m pytest -m browser

lint:  ## check style, formatting and types
	@$(SETUP) ruff check . && ruff format --check . && mypy && lint-imports

docs:  ## run every command, every piece of Python and every link of the documents
	@$(SETUP) python -m pytest tests/documents

