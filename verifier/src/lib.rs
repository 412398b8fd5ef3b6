//! weighbridge-verifier
