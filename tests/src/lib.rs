//! weighbridge-tests
