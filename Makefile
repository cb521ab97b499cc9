# Firebreak. `make` lists the targets.

SHELL   := /bin/bash
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
ARCH    ?= $(shell $(GO) env GOARCH)
HOST    := $(shell $(GO) env GOHOSTARCH)
IMAGE   ?= firebreak
ARCHES  ?= amd64 arm64
ARGS    ?=
FUZZTIME ?= 30s
RUN     ?= .
CA_CERTS ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))

# timetzdata: an image from scratch has no time zones of its own.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -tags timetzdata -ldflags '-s -w -X main.version=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help run build test race e2e soak fuzz lint man rootfs image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build, and run with the embedded default (other settings: make run ARGS="-c FILE")
	./firebreak run $(ARGS)

build: ## the static binary ./firebreak
	$(BUILD) -o firebreak ./cmd/firebreak

test: ## everything that needs no root and no Docker
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e ./e2e/...
	$(GO) test -timeout 5m ./...

race: ## the same tests with the race detector
	$(GO) test -race -timeout 10m ./...

e2e: ## the shipped binary and image against the real Docker engine (RUN=regexp picks tests)
	$(GO) test -tags e2e -count 1 -timeout 15m -run '$(RUN)' -v ./e2e

soak: build ## the long forms of all tests, and the figures of the benchmarks (ARGS goes to ./bench)
	FIREBREAK_SOAK=1 $(GO) test -count 1 -timeout 60m ./...
	FIREBREAK_SOAK=1 $(GO) test -tags e2e -count 1 -timeout 60m -v ./e2e
	$(GO) run ./bench -firebreak ./firebreak $(ARGS)

fuzz: ## each fuzz target for FUZZTIME (30s, or a count such as 5000x)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done

lint: build ## vet, formatting, shell scripts, unit file, the example configuration; staticcheck and shellcheck if installed
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags e2e ./e2e/...
	bash -n .ci/run
	./firebreak check -c deploy/firebreak.yaml
	@if command -v staticcheck; then staticcheck ./...; else echo "staticcheck: not installed, skipped"; fi
	@if command -v shellcheck; then shellcheck .ci/run; else echo "shellcheck: not installed, skipped"; fi

man: ## man pages and the command reference, made from the help texts
	$(GO) test ./cmd/firebreak -run TestManual -update

# The content of the image: the binary, the certificates of public CAs, and a name for the user. The empty directory
# becomes those that belong to that user.
ROOTFS = dist/linux-$(ARCH)
rootfs: ## dist/linux-ARCH, what goes into the image
	rm -rf $(ROOTFS) && mkdir -p $(ROOTFS)/root/{etc/ssl/certs,var/lib,run} $(ROOTFS)/empty
	GOOS=linux GOARCH=$(ARCH) $(BUILD) -o $(ROOTFS)/root/firebreak ./cmd/firebreak
	@if [ -n "$(CA_CERTS)" ]; then cp -L "$(CA_CERTS)" $(ROOTFS)/root/etc/ssl/certs/ca-certificates.crt; \
	else echo "no CA certificates on this machine: with this image, outputs with TLS need a CA file of their own" >&2; fi
	@printf 'root:x:0:0:::\nfirebreak:x:65532:65532::/var/lib/firebreak:/firebreak\n' > $(ROOTFS)/root/etc/passwd
	@printf 'root:x:0:\nfirebreak:x:65532:\n' > $(ROOTFS)/root/etc/group

# The last stage of the Dockerfile, over the tree that `make rootfs` built here.
image: ## FROM scratch images for amd64 and arm64, without a registry; firebreak:latest is this machine's
	@for arch in $(ARCHES); do \
		$(MAKE) --no-print-directory rootfs ARCH=$$arch && \
		sed -n '/^FROM scratch/,$$ { s|--from=build /out/||; p }' Dockerfile > dist/linux-$$arch/Dockerfile && \
		docker build -q --platform linux/$$arch --build-arg VERSION=$(VERSION) -t $(IMAGE):$(VERSION)-$$arch dist/linux-$$arch && \
		docker image inspect -f '$(IMAGE):$(VERSION)-'$$arch' is {{.Os}}/{{.Architecture}}, {{.Size}} bytes' $(IMAGE):$(VERSION)-$$arch || exit 1; \
	done
	@case " $(ARCHES) " in *" $(HOST) "*) docker tag $(IMAGE):$(VERSION)-$(HOST) $(IMAGE):latest;; esac

clean: ## remove what was built (firebreak-data stays: it can hold logs)
	rm -rf firebreak dist
	$(GO) clean -testcache
