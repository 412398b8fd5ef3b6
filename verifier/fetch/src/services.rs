//! **Duty.** Where the vendors' services are, and how each is asked. **Does not know** how a request travels.

pub(crate) mod amd;
pub(crate) mod intel;
pub(crate) mod nvidia;
pub(crate) mod ocsp;

/// Base URLs; a mirror or a proxy of one's own takes the place of any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// Intel's Provisioning Certification Service.
    pub intel: String,
    /// Where the list of Intel's root lies.
    pub intel_root: String,
    /// AMD's Key Distribution Service.
    pub amd: String,
    /// NVIDIA's reference measurements.
    pub nvidia_rim: String,
    /// NVIDIA's OCSP responder.
    pub nvidia_ocsp: String,
}

impl Default for Services {
    /// The vendors' own (EVIDENCE §1.7, §1.8, §2.3, §3.4).
    fn default() -> Self {
        Self {
            intel: "https://api.trustedservices.intel.com".to_owned(),
            intel_root: "https://certificates.trustedservices.intel.com".to_owned(),
            amd: "https://kdsintf.amd.com".to_owned(),
            nvidia_rim: "https://rim.attestation.nvidia.com".to_owned(),
            nvidia_ocsp: "http://ocsp.ndis.nvidia.com".to_owned(),
        }
    }
}

/// A base without slashes at its end, so that a path can follow.
pub(crate) fn base(url: &str) -> &str {
    url.trim_end_matches('/')
}
