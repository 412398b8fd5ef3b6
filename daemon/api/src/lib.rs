//! weighbridge-daemon-api
