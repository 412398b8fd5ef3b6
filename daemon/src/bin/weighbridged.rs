//! weighbridged
fn main() {}
