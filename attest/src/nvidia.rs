//! **Duty.** Everything about NVIDIA's evidence that GPUs and switches share: reports, device chains, reference manifests,
//! revocation, and the claims that follow. The two schemes are a name and a line each. **Does not know** policy: a
//! measurement that differs and a certificate on hold are claims. **Spec.** EVIDENCE §1.

mod canonical;
mod chain;
mod claims;
mod device;
mod dsig;
mod endorsement;
mod ocsp;
mod opaque;
mod part;
mod reference;
mod report;
mod revocation;
mod rim;
mod topology;
mod xml;

pub(crate) use self::device::{Evidence, check};
pub(crate) use self::endorsement::{NvidiaFile, recognise};
pub(crate) use self::part::Part;
pub(crate) use self::topology::compare as compare_topology;
pub use self::topology::{NvidiaTopology, SwitchSide, nvidia_topology};
