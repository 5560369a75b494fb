# Targets are listed by `make` alone. What a machine can judge is in `check`, what .ci/run does is in there.

SHELL     := /bin/bash
GO        ?= go
BIN       := bin
SAMPLE    ?= sample/sample.mrt.zst
HTTP      ?= 127.0.0.1:8080
FUZZTIME  ?= 10s
PKGS      ?= ./...
TESTFLAGS ?=
BENCHFLAGS ?= --baseline bench/baseline/linux-amd64-2.json
FLOWSPEC_BASELINE ?= bench/baseline/flowspec-linux-amd64-2.json
ANNOUNCE_BASELINE ?= bench/baseline/announce-linux-amd64-2.json
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
LDFLAGS   := -X main.version=$(VERSION)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/ribd, bin/ribctl and bin/ribbench
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: run
run: build ## build ribd and start it on the sample table: API on 127.0.0.1:8080, BGP on 127.0.0.1:1790
	exec $(BIN)/ribd serve --config sample/ribd.yaml --http $(HTTP) --load $(SAMPLE) $(ARGS)

.PHONY: test
test: ## run the tests
	$(GO) test $(TESTFLAGS) $(PKGS)

.PHONY: race
race: ## run the tests under the race detector, on slabs that it can see
	$(GO) test -race -short -timeout 30m $(TESTFLAGS) $(PKGS)

.PHONY: invariants
invariants: ## run the tests with freed memory and used buffers spoiled
	$(GO) test -tags invariants -short $(TESTFLAGS) $(PKGS)

.PHONY: check
check: ## gofmt, vet, staticcheck and the order of the packages
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); if [ -n "$$bad" ]; then echo "not formatted (gofmt -w):"; echo "$$bad"; exit 1; fi
	$(GO) vet $(PKGS)
	$(GO) vet -tags invariants $(PKGS)
	$(GO) tool staticcheck $(PKGS)
	$(GO) test ./internal/layers

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10s)
	@GO='$(GO)' FUZZTIME='$(FUZZTIME)' ./.ci/fuzz $(PKGS)

.PHONY: bench
bench: build ## measure, beside the best that others have, in one run
	$(BIN)/ribbench all --ribd $(BIN)/ribd $(BENCHFLAGS)

.PHONY: bench-bgp
bench-bgp: build ## measure sessions, beside BIRD 2 in the same run
	$(BIN)/ribbench bgp --ribd $(BIN)/ribd --baseline bench/baseline/bgp-linux-amd64-2.json

.PHONY: bench-flowspec
bench-flowspec: build ## measure Flow Spec: packets matched, rules taken in, beside GoBGP 4 and BIRD 2
	$(BIN)/ribbench flowspec --ribd $(BIN)/ribd $(if $(wildcard $(FLOWSPEC_BASELINE)),--baseline $(FLOWSPEC_BASELINE))

.PHONY: bench-announce
bench-announce: build ## measure routes that programs announce, beside GoBGP 3, and Rotonda where it is installed
	$(BIN)/ribbench announce --ribd $(BIN)/ribd $(if $(wildcard $(ANNOUNCE_BASELINE)),--baseline $(ANNOUNCE_BASELINE))

.PHONY: bench-smoke
bench-smoke: build ## run every benchmark once, to see that it runs
	$(GO) test -run '^$$' -bench . -benchtime 1x -short -timeout 15m $(PKGS)
	$(BIN)/ribbench all --smoke --ribd $(BIN)/ribd
	$(BIN)/ribbench bgp --smoke --ribd $(BIN)/ribd
	$(BIN)/ribbench flowspec --smoke --ribd $(BIN)/ribd
	$(BIN)/ribbench announce --smoke --ribd $(BIN)/ribd

.PHONY: peers
peers: ## install the real routers and readers that tests compare with (apt-get, go, pip)
	GO='$(GO)' ./.ci/peers

.PHONY: sample
sample: ## make the bundled sample table again, byte for byte the same
	sed -n '/^```sh/,/^```/{/^```/!p}' sample/README.md | $(SHELL)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) dist
	$(GO) clean -testcache
