# podstore. `make` lists what there is.

GO      ?= go
FUZZ    ?= 30s
SOAK    ?= 10m
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
# The modules that use etcd have nothing of their own for an architecture, and each
# platform means compiling etcd anew: one of each system.
ETCD_MODULES = store/etcdstore cmd/podstore-migrate/etcd
ETCD_PLATFORMS = linux/amd64 darwin/arm64
UI_MODULE = cmd/podstore-migrate/ui

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/podstore-migrate, which needs no library of the system
	CGO_ENABLED=0 $(GO) build -o bin/ ./cmd/podstore-migrate

.PHONY: build-etcd
build-etcd: ## build bin/podstore-migrate-etcd, which knows etcd too
	cd cmd/podstore-migrate/etcd && CGO_ENABLED=0 $(GO) build -o ../../../bin/podstore-migrate-etcd .

.PHONY: test-etcd
test-etcd: ## run the tests of what uses etcd, with real servers
	@for m in $(ETCD_MODULES); do (cd $$m && $(GO) test ./...) || exit 1; done

.PHONY: build-ui
build-ui: ## build bin/podstore-migrate-ui, which has the live view too
	cd $(UI_MODULE) && CGO_ENABLED=0 $(GO) build -o ../../../bin/podstore-migrate-ui .

.PHONY: test-ui
test-ui: ## run the tests of the live view, in pseudo-terminals
	cd $(UI_MODULE) && $(GO) test ./...

# Most tests wait for a disk that none of them needs. Many that run in parallel wait for
# something else: four at a time. Collecting garbage less often takes a tenth off.
MEMORY = $(shell awk '$$2 == "/dev/shm" && $$4 !~ /noexec/' /proc/mounts 2>/dev/null | grep -q . && \
	test "$$(df -Pk /dev/shm | awk 'END {print $$4}')" -gt 4000000 && echo TMPDIR=/dev/shm)
SHORT ?= -short
.PHONY: test
test: ## run all tests; SHORT= for all points of the fault injections, as .ci/run does
	$(MEMORY) $(if $(SHORT),GOGC=300) $(GO) test -timeout 30m -parallel 4 $(SHORT) ./...
	@test -z "$(SHORT)" || echo 'Skipped to be quick: most points of fault injection, most mutants, most cases of trouble, shells and docs/operations.md, part of the random operations; make test SHORT= takes all, make long more.'

.PHONY: check
check: lint test demo ## what to run before a push: lint, all tests, the demonstration

.PHONY: race
race: ## run all tests under the race detector
	$(GO) test -race ./...

.PHONY: long
long: ## run the durability tests with their full counts
	PODSTORE_LONG=1 $(GO) test -timeout 60m ./...

.PHONY: lint
lint: fmt layers cross ## gofmt, layering, vet on every platform, staticcheck
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	@for m in $(ETCD_MODULES) $(UI_MODULE); do (cd $$m && $(GO) tool -modfile=$(CURDIR)/tools/go.mod staticcheck ./...) || exit 1; done

.PHONY: fmt
fmt:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }

# The contract must not know its backends, a client of a socket needs no database,
# and a user of a backend must not download the command's libraries.
CONTRACT = ./store ./store/memstore ./store/jsonvalue ./store/podjson ./store/jsonexport ./store/jsonlstore ./store/mirror ./store/socketstore ./store/storetest
.PHONY: layers
layers:
	@! $(GO) list -deps $(CONTRACT) | grep -E 'bbolt|boltstore|msgpack|cobra|progressbar' \
		|| { echo '$(CONTRACT) may not import these'; exit 1; }
	@! $(GO) list -deps ./store/boltstore | grep -E 'cobra|progressbar|/term$$' \
		|| { echo 'boltstore may not import these'; exit 1; }

.PHONY: cross
cross:
	@for p in $(PLATFORMS); do echo "vet $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; done
	@for m in $(ETCD_MODULES) $(UI_MODULE); do for p in $(ETCD_PLATFORMS); do echo "vet $$p $$m"; \
		(cd $$m && GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./...) || exit 1; done; done

.PHONY: vuln
vuln: ## look for known vulnerabilities (needs the network)
	$(GO) tool -modfile=tools/go.mod govulncheck ./...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZ each (default 30s)
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) $$pkg || exit 1; \
		done; \
	done

.PHONY: soak
soak: ## run everything together for SOAK (default 10m), with kills and full disks
	cd store/internal/soak && SOAK=$(SOAK) $(GO) test -count=1 -timeout 0 -v -run '^TestSoak$$' .

BENCH_OUT = -out ../docs/benchmarks.md -raw ../docs/benchmarks.jsonl
.PHONY: bench
bench: ## measure against peers, writes docs/benchmarks.md and its curves (about a quarter of an hour)
	cd bench && $(GO) run . $(BENCH_OUT)

# The earlier build is another module, made of its commit and given to the benchmark by
# a go.mod of its own: neither is kept.
OLD = bin/podstore-old
.PHONY: bench-old
bench-old: ## the same beside the build 2edd66e; BENCH_OUT=-short only tries it
	rm -rf $(OLD) && mkdir -p $(OLD)/source
	git archive 2edd66e | tar -x -C $(OLD)/source
	cd $(OLD)/source && rm -rf bench cmd examples && $(GO) mod edit -module=podstore-old && \
		find . -name '*.go' -exec sed -i 's#"podstore/#"podstore-old/#' {} +
	cp bench/go.mod bench/go.sum $(OLD)
	$(GO) mod edit -require=podstore-old@v0.0.0 -replace=podstore-old=../$(OLD)/source $(OLD)/go.mod
	cd bench && $(GO) run -tags old -mod=mod -modfile=../$(OLD)/go.mod . $(BENCH_OUT)

.PHONY: cover
cover: ## test coverage of each package of the library by its own tests
	$(MEMORY) $(GO) test -coverprofile=cover.out $$($(GO) list ./store/... | grep -vE 'durabilitytest|internal/(linear|soak)$$')

.PHONY: demo
demo: build ## import the example tree, look at it, change it, export and verify
	@sh testdata/example/demo.sh

.PHONY: session
session: ## record the terminal sessions in README.md and docs/operations.md anew
	$(GO) test ./cmd/podstore-migrate/internal/cli -count=1 -run '^(TestReadmeSession|TestOperations)$$' -update
