//! **Duty.** A simulated platform: TDX quotes, Intel collateral, NVIDIA reports, manifests and OCSP answers, and time
//! tokens in their real formats and with real signatures, under development roots grown from a seed. **Knows** the vendors' layouts. **Does not
//! know** `weighbridge-attest`: the same mistake on both sides would look like agreement. Nothing here is trusted by
//! default; a Verifier must be handed the `*.anchor.json` files. **Spec.** EVIDENCE §1–2, PROTOCOL §9.

mod authority;
mod collateral;
mod der;
mod gpu_report;
mod intel;
mod keys;
mod node;
mod nvidia;
mod ocsp;
mod pki;
#[cfg(test)]
mod readers;
mod rim;
mod tdx;
mod timestamp;
mod world;

pub use authority::TimeAuthority;
pub use collateral::CollateralOptions;
pub use gpu_report::{GpuReportOptions, SwitchReportOptions};
pub use intel::PlatformTcb;
pub use node::SimulatedNode;
pub use nvidia::{DeviceModel, FwidForm, SimulatedGpu, SimulatedSwitch};
pub use ocsp::{OcspHash, OcspOptions, OcspSigner, OcspStatus};
pub use rim::{RimOptions, RimProfile, RimResource, RimSigner};
pub use tdx::{TdxOptions, TdxPlatform};
pub use timestamp::TimestampAuthority;
pub use world::{AnchorFile, Certified, World};
