//! weighbridge-appraisal
