//! weighbridge-tests-demo
