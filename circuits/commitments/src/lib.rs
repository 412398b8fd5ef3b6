//! weighbridge-commitments
