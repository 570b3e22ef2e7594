# make run     build and start the server           make test      every check, as CI does it
# make build   the release build                    make lint      the formatter's opinion      make format   its changes
# make generate       what is generated from Proto/          make install-tools   what all of these need (each installs what it needs itself)
# make torture   the tests that draw lots, for long      make fuzz   inputs nobody thought of      make sanitize   memory and races
# make mutants   planted faults: does a test see each?          make docs   pages of the Swift libraries, and their programs

HUBAUDIT_DATA ?= log
HUBAUDIT_LISTEN ?= 127.0.0.1:7411

.PHONY: build run test torture fuzz sanitize mutants lint format generate docs install-tools
.DEFAULT_GOAL := build

install-tools:
	@.ci/install test

build:
	@.ci/install build
	@.ci/build --product hubaudit

run: build
	@mkdir -p '$(HUBAUDIT_DATA)'
	@echo
	@echo 'The server keeps its log in $(HUBAUDIT_DATA) and stops with Ctrl-C. In another terminal, append a record and follow the log:'
	@echo
	@echo "  echo '{\"kind\": \"hello\", \"who\": \"me\"}' | .build/release/hubaudit append -s $(HUBAUDIT_LISTEN) --hub first --json -"
	@echo '  .build/release/hubaudit tail -s $(HUBAUDIT_LISTEN) -n 10 -f'
	@echo
	@exec .build/release/hubaudit serve --data '$(HUBAUDIT_DATA)' --listen '$(HUBAUDIT_LISTEN)'

test:
	@.ci/test

torture:
	@.ci/torture

# SECONDS_EACH=600 TARGETS='json segment' make fuzz
fuzz: install-tools
	@.ci/fuzz

sanitize: install-tools
	@.ci/sanitize

docs: install-tools
	@.ci/docs

mutants: install-tools
	python3 Tests/Mutants/run.py

lint:
	@.ci/lint

format:
	swift format --in-place --parallel --recursive Sources Tests Package.swift

generate: install-tools
	Sources/CAuditSchema/generate.sh
	python3 Sources/AuditSchema/generate.py
	Sources/python/generate.sh
