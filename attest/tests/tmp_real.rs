#![allow(missing_docs, reason = "t")]
extern crate self as weighbridge_tests;
#[path = "../../tests/scenarios/real_evidence.rs"]
mod real_evidence;
#[path = "../../tests/src/vectors.rs"]
pub mod vectors;
pub fn shared() -> Option<std::path::PathBuf> {
    Some("/work/shared".into())
}
pub fn skipped(what: &str) {
    println!("skipped: {what}");
}
#[path = "../../tests/scenarios/simulated_evidence.rs"]
mod simulated_evidence;
