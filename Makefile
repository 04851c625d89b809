# Every task of the project. `make` lists them.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Results are never taken from the cache: it does not know that e2e depends on the binary.
# What to test: make test PKG=./internal/store/... ARGS='-run TestClaim -count=3'
PKG  ?= ./...
ARGS ?=

# A shorter measurement: make bench ARGS='--rounds 1 --events 5000 --preload-events 50000' LISTS='--stored-events 50000'
LISTS ?=

# How long each fuzz target runs: make fuzz FUZZTIME=1m
FUZZTIME ?= 10s

LINT_VERSION := v2.15.0
LINT := bin/golangci-lint-$(LINT_VERSION)

# The gateway and its tools are static binaries. Only the race detector needs C.
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## run a gateway on this machine, with its embedded engines
	$(GO) run ./cmd/convoy standalone

.PHONY: build
build: ## build bin/convoy
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/convoy ./cmd/convoy

.PHONY: test
test: servers bin/with ## run all tests against real servers, which are installed if need be
	bin/with -count -- $(GO) test -count=1 -timeout 20m $(ARGS) $(PKG)

.PHONY: test-race
test-race: export CGO_ENABLED = 1
test-race: servers bin/with ## run the tests with the race detector (of e2e the short ones: what is tested there is a binary without it)
	bin/with -count -- $(GO) test -race -timeout 20m $(ARGS) $$($(GO) list $(PKG) | grep -v '^convoy/e2e')
	bin/with -count -- $(GO) test -race -count=1 -timeout 20m -short $(ARGS) ./e2e/...

.PHONY: e2e
e2e: servers bin/with ## run only the tests of the built binary
	bin/with -count -- $(GO) test -count=1 -timeout 20m $(ARGS) ./e2e/...

.PHONY: bench
bench: servers ## measure the gateway on this machine, for about an hour (see docs/benchmarks.md)
	$(GO) run ./cmd/convoy-bench all $(ARGS)
	$(GO) run ./cmd/convoy-bench lists $(LISTS)
	$(GO) test -run '^$$' -bench 'Many|Match|Route' -benchmem ./internal/filter ./internal/route

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@grep -rE --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sed 's,/[^/]*:func , ,' | sort -u | \
	while read -r dir target; do \
		echo "$$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir"; \
	done

.PHONY: check
check: format-check vet lint arch generated-check ## all checks that are not tests of behaviour

.PHONY: format
format: ## format the Go code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: format-check
format-check:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted (make format):"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: lint
lint: $(LINT) ## run the linters
	$(LINT) run ./...

.PHONY: arch
arch: ## check the rules of the code's layout
	$(GO) test -count=1 -run '^TestArch' .

.PHONY: generate
generate: ## make the generated files anew
	$(GO) generate ./...

.PHONY: generated-check
generated-check:
	@.ci/generated $(GO) generate ./...

.PHONY: servers
servers:
	@.ci/install

.PHONY: clean
clean: ## delete what was built
	rm -rf bin dist

# Built and then run, not `go run`, which does not pass signals on.
.PHONY: bin/with
bin/with:
	@CGO_ENABLED=0 $(GO) build -o $@ ./internal/testenv/with

# A linter of this version that is installed already saves building one, which takes minutes.
$(LINT):
	@mkdir -p bin; \
	for have in "$$(command -v golangci-lint || true)" "$$($(GO) env GOPATH)/bin/golangci-lint"; do \
		if [ -x "$$have" ] && "$$have" version | grep -q ' $(LINT_VERSION:v%=%) '; then \
			ln -sf "$$have" $@; exit 0; \
		fi; \
	done; \
	echo "building golangci-lint $(LINT_VERSION)"; \
	GOBIN="$$PWD/bin" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION); \
	mv bin/golangci-lint $@
