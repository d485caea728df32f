# syntax=docker/dockerfile:1
# Builds one image per service:
#   docker build --target ingest-service --tag tidegauge/ingest-service .
#   docker build --target query-service --tag tidegauge/query-service .

FROM rust:1.95-bookworm AS build
WORKDIR /source
# Use the image's toolchain: rust-toolchain.toml also lists clippy and rustfmt, which rustup would
# download here.
ENV RUSTUP_TOOLCHAIN=$RUST_VERSION
COPY . .
# A cache mount is not part of the image, so the same step copies the binaries out of target/.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/usr/local/cargo/git \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked --bin ingest-service --bin query-service \
    && install -D --target-directory=/binaries target/release/ingest-service target/release/query-service

# Contains glibc of the build's Debian release and CA certificates, but no shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
# Numeric, because Kubernetes cannot check whether a named user is root.
USER 65532:65532

FROM runtime AS ingest-service
LABEL org.opencontainers.image.title="Tidegauge ingest-service" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /binaries/ingest-service /usr/local/bin/ingest-service
ENV TIDEGAUGE_INGEST_LISTEN=0.0.0.0:50051 TIDEGAUGE_HTTP_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
ENTRYPOINT ["/usr/local/bin/ingest-service"]

FROM runtime AS query-service
LABEL org.opencontainers.image.title="Tidegauge query-service" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /binaries/query-service /usr/local/bin/query-service
ENV TIDEGAUGE_QUERY_LISTEN=0.0.0.0:50052 TIDEGAUGE_HTTP_LISTEN=0.0.0.0:9465
EXPOSE 50052 9465
ENTRYPOINT ["/usr/local/bin/query-service"]
