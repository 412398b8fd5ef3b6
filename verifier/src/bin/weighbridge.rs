//! weighbridge
fn main() {}
