# Set-up, demo, tests. Everything lives in .venv; nothing outside the checkout is changed but caches.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check --no-input

.PHONY: demo serve install test check audit bench chaos fuzz lint types unit browser clean

demo: install
	@$(BIN)/subsecond fetch minilm-l6
	@$(BIN)/subsecond demo

serve: install
	@$(BIN)/subsecond serve

install: $(VENV)/.installed

# torch comes first and pinned: a wider range would bring gigabytes of CUDA packages.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[genai]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test,genai,openvino-genai]'
	@touch $@

# Debian's Chromium where apt is there, Playwright's own elsewhere.
browser: $(VENV)/.installed-test
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else $(BIN)/playwright install chromium; fi; }

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml engine dashboard

types: $(VENV)/.installed-test
	$(BIN)/mypy

check: lint types
	$(BIN)/pytest -m 'not e2e and not browser'

test: lint types browser
	@$(BIN)/subsecond fetch all
	$(BIN)/pytest

# Kills over all stages and parts, two thousand runs in a row, then everybody at once; a quarter of an hour.
chaos: $(VENV)/.installed-test
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.chaos.soak
	$(BIN)/python -m tests.chaos.crowd

# Ten minutes of looking for a spec, a study or a sequence of events that breaks something.
fuzz: $(VENV)/.installed-test
	SUBSECOND_FUZZ_EXAMPLES=4000 $(BIN)/pytest tests/test_properties.py

# Known weaknesses of the versions that were tested together; needs network. One that cannot be looked up is a failure.
audit: $(VENV)/.installed
	@test -x $(VENV)/audit/bin/pip-audit || $(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip --disable-pip-version-check install --quiet 'pip-audit>=2.10'
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

bench: $(VENV)/.installed-test
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache runs
