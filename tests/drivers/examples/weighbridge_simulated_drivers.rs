//! The simulated drivers as the dynamic loader takes them: every function of the crate that a C program could call.

use weighbridge_tests_drivers as _;
