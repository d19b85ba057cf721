# `make` lists what there is to do. Settings may stand on the command line: make run PORT=8080 TLS=1

.DEFAULT_GOAL := help
.PHONY: help run test check fmt lint types unit bench bench-asr bench-mt bench-speech bench-ws fuzz soak loadtest swarm models \
    apertium lock clean

VENV ?= .venv
export VENV

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: ## Install what is missing and start the server (PORT=5000, TLS=1 for HTTPS)
	@exec sh scripts/run.sh

test: ## Install what the tests need and run all checks and tests
	@exec sh scripts/test.sh

check: ## Format, lint, types and unit tests
	@sh scripts/bootstrap.sh test
	@exec sh scripts/check.sh format lint types unit

fmt: ## Format the code and repair what the linter can
	@sh scripts/bootstrap.sh test
	@$(VENV)/bin/ruff check --fix-only --quiet . ; $(VENV)/bin/ruff format .

lint: ## Check format and lint
	@sh scripts/bootstrap.sh test
	@exec sh scripts/check.sh format lint

types: ## Check types
	@sh scripts/bootstrap.sh test
	@exec sh scripts/check.sh types

unit: ## Unit tests only
	@sh scripts/bootstrap.sh test
	@exec sh scripts/check.sh unit

bench: ## Measure calls: cost, delay and loss, beside stock aiortc
	@sh scripts/bootstrap.sh test
	@exec $(VENV)/bin/python -m benchmarks.rtc

bench-asr: ## Measure recognition for many speakers at once
	@sh scripts/bootstrap.sh test
	@exec $(VENV)/bin/python -m benchmarks.asr

bench-speech: ## Measure hearing, translating and speaking
	@sh scripts/bootstrap.sh test
	@exec $(VENV)/bin/python -m benchmarks.speech

bench-mt: ## Measure what a translation model of the usual size costs here
	@sh scripts/bootstrap.sh test
	@exec $(VENV)/bin/python -m benchmarks.translation

bench-ws: ## Measure /ws-audio beside FastAPI on uvicorn
	@sh scripts/bootstrap.sh test
	@exec $(VENV)/bin/python -m benchmarks.ws

fuzz: ## Ten times the malformed input of the tests: offers, JSON, STUN, RTP, RTCP, messages of both WebSockets
	@sh scripts/bootstrap.sh test
	@FUZZ=$${FUZZ:-10} exec $(VENV)/bin/python -m pytest tests/chaos/test_fuzz.py tests/chaos/test_http.py \
	    tests/chaos/test_ws_fuzz.py tests/chaos/test_ws_echo_fuzz.py -o faulthandler_timeout=0

soak: ## 1,000 calls, half of them killed: nothing may be left behind
	@sh scripts/bootstrap.sh test
	@SOAK_CALLS=$${SOAK_CALLS:-1000} exec $(VENV)/bin/python -m pytest tests/chaos/test_soak.py -s \
	    --timeout 3600 -o faulthandler_timeout=0

loadtest: ## Load the WebSockets with k6 (SERVER=http://localhost:5000; k6 is built where it is missing)
	@exec sh scripts/loadtest.sh

swarm: ## WebRTC callers at a running server: latency, gaps, CPU (SWARM="--callers 1,2,4 --loss 0.05")
	@sh scripts/bootstrap.sh test
	@exec $(VENV)/bin/python -m loadtest.webrtc_swarm $(SWARM)

models: ## Fetch the default models
	@sh scripts/bootstrap.sh run
	@rm -f $(VENV)/.no-models
	@exec $(VENV)/bin/python -m media_server.models fetch

apertium: ## Install Apertium from this system's packages
	@rm -f $(VENV)/.no-apertium
	@exec sh scripts/system-packages.sh apertium

lock: ## Make the lock files again, with the newest versions that fit
	@exec sh scripts/lock.sh

clean: ## Remove the virtual environment and everything that was made here
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist out
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
