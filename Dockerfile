# With a registry:     docker build -t firebreak .          (several architectures: docker buildx build --platform …)
# Without a registry:  make image                           (the last stage alone, over a tree built on this machine)

ARG GO_VERSION=1.26
FROM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETARCH
ARG VERSION=dev
RUN make rootfs ARCH="${TARGETARCH:-$(go env GOARCH)}" VERSION="$VERSION" && mv dist/linux-* /out

FROM scratch
# First of all what is copied: the builder of Docker 20.10 gives a layer without files its own architecture.
COPY --from=build /out/root/ /
COPY --chown=65532:65532 --from=build /out/empty/ /var/lib/firebreak/
COPY --chown=65532:65532 --from=build /out/empty/ /run/firebreak/
ARG VERSION=dev
LABEL org.opencontainers.image.title="firebreak"
LABEL org.opencontainers.image.description="A log router for each host: no destination's failure reaches a container"
LABEL org.opencontainers.image.version="${VERSION}"
LABEL org.opencontainers.image.source="https://github.com/firebreak/firebreak"
# In the image the embedded default listens on all addresses: loopback would be the container's own.
ENV FIREBREAK_IN_IMAGE=1
# docker exec firebreak firebreak status
ENV PATH=/
USER 65532:65532
WORKDIR /var/lib/firebreak
# Buffers outlive the container's file system, and --read-only works without more options.
VOLUME /var/lib/firebreak
EXPOSE 24224
# Only whether the router accepts and stores; a dead destination never makes it fail.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/firebreak", "health"]
ENTRYPOINT ["/firebreak"]
CMD ["run"]
