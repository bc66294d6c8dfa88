# List the recipes.
default:
    @just --list

# Everything the CI checks: formatting, lints, documentation, all tests.
test:
    tests/run

# Format the sources.
fmt:
    cargo fmt --all

# Lints, as strict as the CI's.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p pos-server --no-default-features -- -D warnings

# Build the documentation; `just doc --open` shows it.
doc *args:
    cargo doc --workspace --no-deps --all-features {{ args }}

# Pair a terminal from end to end on this machine, with nothing to set up.
demo *args:
    cargo run -p pos-server -- demo {{ args }}

# Run the server with the settings for development.
serve *args:
    cargo run -p pos-server -- serve --config config/development.toml {{ args }}

# Start the tests' throw-away PostgreSQL and print its address.
db-start:
    @scripts/test-postgres start

# Stop it.
db-stop:
    @scripts/test-postgres stop

# Start the tests' throw-away Keycloak and print its issuer.
keycloak-start:
    @scripts/test-keycloak start

# Stop it.
keycloak-stop:
    @scripts/test-keycloak stop

# Measure the optimised server against references from the same run; `just bench --seconds 2` is a quick look.
bench *args:
    scripts/bench {{ args }}

# The same for polls only, and for other people's servers under the same load.
bench-peers *args:
    scripts/bench --only polls --peers {{ args }}

# Fill the tables of the documentation from the last run.
bench-table from="target/bench/latest.json":
    cargo run --quiet --release -p pos-bench -- table --from {{ from }} --into README.md --into docs/benchmarks.md

# Fuzz for a while: `just fuzz --minutes 10`, or one target: `just fuzz fuzz::claims`.
fuzz *args:
    scripts/fuzz {{ args }}

# Break everything around the server for 20 minutes and check every answer; `just chaos --short` takes two.
chaos *args:
    scripts/chaos {{ args }}
