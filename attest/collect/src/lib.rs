//! **Duty.** The Attester's hands: reads evidence from the platform it runs on. **Knows** device files, configfs and
//! NVML, and as much structure as it takes to find lengths and stable ids. **Does not know** whether evidence is good:
//! no signature is checked here, an Attester cannot grade itself. **Spec.** EVIDENCE §5.
//!
//! `x509-parser` reads the stable ids of devices out of certificates (PPID, PDI); nothing here verifies with it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that panics is a test that fails"
    )
)]

mod certificates;
mod collector;
mod collectors;
mod counters;
mod detection;
mod examination;
mod lane;
mod nvml;
mod pci;
mod platform;
mod products;
mod tsm;

pub use certificates::certificates_of_pem;
pub use collector::{CollectError, Collector, CpuIdentity, DeviceIdentity, collect_set};
pub use collectors::nvidia_gpu::{canonical_gpu_report, gpu_of_chain};
pub use collectors::sev_snp::chip_of_report;
pub use collectors::tdx::platform_of_quote;
pub use counters::{Counted, Counters, DeviceSample, Missing, Tier};
pub use detection::{Detection, Interface, InterfaceState, Role, detect};
pub use examination::{Finding, Weight, examine};
pub use nvml::CcMode;
pub use platform::{Platform, PlatformOptions};
pub use products::{PRODUCTS, Product};
