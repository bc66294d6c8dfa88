# List the recipes.
default:
    @just --list

# Run all checks of the CI: formatting, lints, documentation, all tests.
test:
    tests/run

# Format the sources.
fmt:
    cargo fmt --all

# Run the lints, as strict as in the CI.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p pos-server --no-default-features -- -D warnings

# Build the documentation; `just doc --open` opens it.
doc *args:
    cargo doc --workspace --no-deps --all-features {{ args }}

# Run the whole pairing flow on this machine; needs no set-up.
demo *args:
    cargo run -p pos-server -- demo {{ args }}

# Run the server with the development settings.
serve *args:
    cargo run -p pos-server -- serve --config config/development.toml {{ args }}

# Start the temporary PostgreSQL of the tests and print its URL.
db-start:
    @scripts/test-postgres start

# Stop it.
db-stop:
    @scripts/test-postgres stop

# Start the temporary Keycloak of the tests and print its issuer.
keycloak-start:
    @scripts/test-keycloak start

# Stop it.
keycloak-stop:
    @scripts/test-keycloak stop

# Benchmark the optimised server against references from the same run; `just bench --seconds 2` is a quick run.
bench *args:
    scripts/bench {{ args }}

# Benchmark polls only, and other servers under the same load.
bench-peers *args:
    scripts/bench --only polls --peers {{ args }}

# Fill the tables of the documentation from the last run.
bench-table from="target/bench/latest.json":
    cargo run --quiet --release -p pos-bench -- table --from {{ from }} --into README.md --into docs/benchmarks.md

# Run the fuzz tests for some time: `just fuzz --minutes 10`, or one target: `just fuzz fuzz::claims`.
fuzz *args:
    scripts/fuzz {{ args }}

# Inject faults around the server for 20 minutes and check every response; `just chaos --short` takes two.
chaos *args:
    scripts/chaos {{ args }}
