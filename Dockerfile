# Production image of the server: without the development issuer, as a non-root user.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release -p pos-server --no-default-features \
    && cp target/release/pos-server /pos-server

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/pos-activation --create-home pos
COPY --from=build /pos-server /usr/local/bin/pos-server
USER pos
WORKDIR /var/lib/pos-activation
ENV POS__HTTP__BIND=0.0.0.0:8080
EXPOSE 8080
# The server drains on SIGTERM for shutdown.grace_secs.
STOPSIGNAL SIGTERM
ENTRYPOINT ["pos-server"]
CMD ["serve"]
