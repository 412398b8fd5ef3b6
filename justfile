# The recipes that people and .ci/run share (tests/law/docs.rs holds them together). `just` is a convenience: each line
# works in a shell. Run from inside the tree: cargo finds .cargo/config.toml from the working directory.

# List the recipes.
default:
    @just --list

# The main job: two simulated nodes, a live training run, a proof, a bundle under out/.
demo:
    cargo run --release --bin weighbridge-demo

# Every test.
test:
    cargo test --release --workspace

# The Python packages that some tests call, into target/python; name it by WEIGHBRIDGE_PYTHON=target/python/bin/python.
python:
    tests/python/prepare

# The architecture as a test: floors, sizes, lints, words, units, documents.
law:
    cargo test --release --workspace --test law

# Lints, as CI wants them.
clippy:
    cargo clippy --release --workspace --all-targets -- -D warnings

# Attestation results read by the `ear` crate, which stands outside of the workspace (tests/oracle).
ear-oracle:
    cargo build --release --manifest-path tests/oracle/Cargo.toml
    WEIGHBRIDGE_EAR_ORACLE="$PWD/tests/oracle/target/release/weighbridge-oracle" cargo test --release --workspace --test scenarios appraise::ear

# Formatting, as CI wants it; `cargo fmt --all` writes it.
fmt:
    cargo fmt --all --check

# Documentation of our crates, with broken links as errors.
docs:
    env RUSTDOCFLAGS=-Dwarnings cargo doc --release --workspace --no-deps

# Licences, sources and bans of all dependencies (deny.toml).
deny:
    cargo deny check bans licenses sources

# The same and the advisories, which are fetched from the network.
advisories:
    cargo deny check

# All 2,000 changed bytes and 200 truncations of a bundle, instead of the 200 that every test run makes; and 100,000
# mutations of captured evidence per scheme, instead of 5,000.
mutate:
    WEIGHBRIDGE_MUTATIONS=all cargo test --release --workspace --test scenarios mutations

# All 1,000 random runs and corruptions natively, 50 proven and 200 forged in circuit, instead of a tenth (minutes of both cores).
ledgers:
    WEIGHBRIDGE_LEDGERS=all cargo test --release --workspace --lib plan::tests

# The prover killed at 50 moments instead of 2.
kills:
    WEIGHBRIDGE_KILLS=50 cargo test --release --workspace --test scenarios killed_prover

# What an idle node costs: ten minutes of one-minute intervals over eight simulated GPUs. Results: docs/counters.md.
idle:
    WEIGHBRIDGE_IDLE=600 cargo test --release --workspace --test scenarios an_idle_node -- --nocapture

# The node service killed at 1,000 random moments under load, instead of 5 (about a quarter of an hour; dated results:
# docs/node-service.md). Failing disks are in every test run.
soak:
    WEIGHBRIDGE_NODE_KILLS=1000 cargo test --release --workspace --test scenarios -- --nocapture random_moments

# The node service's Debian package, under target/debian (needs cargo-deb and dpkg-dev; tried by hand: docs/node-service.md).
deb:
    daemon/debian/build

# Prove a sample of generated ledgers, and write the tables of docs/scale.md; `--whole` proves its smallest cluster and
# trees of 1 to 64 leaves too.
scale *WHOLE:
    cargo run --release --bin weighbridge-scale -- {{WHOLE}}

# Measure, and write the README's table of figures anew (about five minutes; the demo first, if it never ran here).
figures:
    test -e out/run.weighbridge || cargo run --release --bin weighbridge-demo
    rm -rf target/criterion
    cargo build --release --workspace --bins
    cargo bench --workspace --bench figures
    cargo run --release --bin weighbridge-figures

# Measure, and say what became slower than the committed figures by more than a fifth, as ratios to a calibration loop.
slower:
    rm -rf target/criterion
    cargo build --release --workspace --bins
    cargo bench --workspace --bench figures
    cargo run --release --bin weighbridge-figures -- --check

# Every fuzz target in turn, SECONDS each; needs a nightly toolchain and cargo-fuzz. Results: docs/fuzzing.md.
fuzz SECONDS:
    tests/fuzz/run {{SECONDS}}

# The same for a moment: each target builds, starts and meets its seeds.
smoke:
    tests/fuzz/run 5

# Write golden files anew after a wanted change; review the diff. A changed circuit makes every earlier proof invalid.
bless:
    WEIGHBRIDGE_BLESS=1 cargo test --release --workspace --test law direct_edges
    WEIGHBRIDGE_BLESS=1 cargo test --release --workspace --test law sensitive_closures
    WEIGHBRIDGE_BLESS=1 cargo test --release --workspace --lib published_vector
    WEIGHBRIDGE_BLESS=1 cargo test --release --workspace --test scenarios golden_vectors_hold
    WEIGHBRIDGE_BLESS=1 cargo test --release --workspace --lib pinned

# Everything CI runs.
ci:
    .ci/run

# How often the tile check is wrong, over K, formats and error models: writes docs/audit-rates.md (about ten minutes).
rates:
    cargo run --release --bin weighbridge-audit-rates
