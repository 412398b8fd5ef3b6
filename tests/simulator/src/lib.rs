//! weighbridge-tests-simulator
