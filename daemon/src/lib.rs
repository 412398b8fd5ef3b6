//! weighbridge-daemon
