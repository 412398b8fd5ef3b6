//! weighbridge-attest
