//! weighbridge-circuits
