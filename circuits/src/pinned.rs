//! **Duty.** Pins circuits as text, verifier keys and proofs as bytes: changed wiring cannot hide in a refactor (of circuits
//! over tiles no changed constraint either), and an old proof must fail against a new circuit. With
//! `WEIGHBRIDGE_BLESS=1` the fixtures are written anew; keys,
//! sizes and descriptions are compiled in, so that a changed circuit is blessed twice.

mod build;
mod statements;
mod tiles;

use std::path::Path;

use weighbridge_attest_types::sha256;

#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites fixtures")]
fn blessing() -> bool {
    std::env::var("WEIGHBRIDGE_BLESS").is_ok_and(|value| value == "1")
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn pin(name: &str, bytes: &[u8]) {
    let path = fixture(name);
    if blessing() {
        std::fs::write(&path, bytes).expect("fixtures are writable");
    }
    let pinned = std::fs::read(&path).expect("fixture exists");
    assert_eq!(
        sha256(&pinned),
        sha256(bytes),
        "{name} differs from what the circuits give; WEIGHBRIDGE_BLESS=1 rewrites it"
    );
}
