//! weighbridge-ledger
