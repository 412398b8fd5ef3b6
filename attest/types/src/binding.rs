//! **Duty.** THE definition of what evidence is about: `gpu_nonce`, `evidence_digest` and `report_data`. Daemon, tests
//! and Verifier call these functions; nobody derives them again. **Spec.** PROTOCOL §3 (Binding).

use crate::codec::{framed, framed_enum, put_list};
use crate::{Challenge, Device, DeviceEvidence, Digest32, Domain, Encoder, PoseidonDigest, sha256, sha512};

/// Whether a quote introduces a node key or covers a ledger head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingStage {
    /// Before genesis exists: genesis and head are zero, index is 0.
    Key,
    /// Over a head of a run's ledger.
    Head,
}

/// Everything that evidence is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Key quote or head quote; selects the domain.
    pub stage: BindingStage,
    /// The run, or zero.
    pub genesis: Digest32,
    /// Digest of the node key.
    pub node_key_digest: Digest32,
    /// The quoted head, or zero.
    pub head: PoseidonDigest,
    /// Index of the quoted head.
    pub index: u64,
    /// What the quote answers.
    pub challenge: Challenge,
}

framed_enum!(BindingStage { Key = 0, Head = 1 });
framed!(Binding { stage, genesis, node_key_digest, head, index, challenge });

impl Binding {
    /// A key quote's binding.
    #[must_use]
    pub fn key(node_key_digest: Digest32, challenge: Challenge) -> Self {
        let (genesis, head) = (Digest32::default(), PoseidonDigest::default());
        Self { stage: BindingStage::Key, genesis, node_key_digest, head, index: 0, challenge }
    }

    /// A head quote's binding.
    #[must_use]
    pub fn head(
        genesis: Digest32,
        node_key_digest: Digest32,
        head: PoseidonDigest,
        index: u64,
        challenge: Challenge,
    ) -> Self {
        Self { stage: BindingStage::Head, genesis, node_key_digest, head, index, challenge }
    }

    /// Whether the stage's rule holds: a key quote speaks of no run, head or index.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        match self.stage {
            BindingStage::Head => true,
            BindingStage::Key => {
                self.genesis == Digest32::default() && self.head == PoseidonDigest::default() && self.index == 0
            }
        }
    }

    /// The nonce that one GPU must answer.
    #[must_use]
    pub fn gpu_nonce(&self, device: Device) -> Digest32 {
        let domain = match self.stage {
            BindingStage::Key => Domain::GpuNonceKey,
            BindingStage::Head => Domain::GpuNonce,
        };
        let mut out = self.framed_fields(domain);
        out.put(&device);
        sha256(&out.finish())
    }

    /// The 64 bytes that the CPU quote must carry.
    #[must_use]
    pub fn report_data(&self, evidence_digest: Digest32) -> [u8; 64] {
        let domain = match self.stage {
            BindingStage::Key => Domain::ReportDataKey,
            BindingStage::Head => Domain::ReportData,
        };
        let mut out = self.framed_fields(domain);
        out.put(&evidence_digest);
        sha512(&out.finish())
    }

    /// The stage itself is not hashed: the domain says it.
    fn framed_fields(&self, domain: Domain) -> Encoder {
        let Self { stage: _, genesis, node_key_digest, head, index, challenge } = self;
        let mut out = domain.encoder();
        out.put(genesis).put(node_key_digest).put(head).put(index).put(challenge);
        out
    }
}

/// `evidence_digest`: SHA-256 over the framed domain, the count, and per device in ascending order the device,
/// SHA-256 of its canonical report and SHA-256 of its framed certificate list.
#[must_use]
pub fn device_evidence_digest(devices: &[DeviceEvidence]) -> Digest32 {
    let mut sorted: Vec<&DeviceEvidence> = devices.iter().collect();
    sorted.sort_by_key(|evidence| evidence.device);
    let mut out = Domain::Evidence.encoder();
    out.count(sorted.len());
    for evidence in sorted {
        let mut chain = Encoder::new();
        put_list(&mut chain, &evidence.certificates);
        out.put(&evidence.device).put(&sha256(&evidence.report)).put(&sha256(&chain.finish()));
    }
    sha256(&out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_fact_changes_the_report_data() {
        let base = Binding::head(Digest32([1; 32]), Digest32([2; 32]), PoseidonDigest::default(), 7, Challenge::None);
        let digest = Digest32([3; 32]);
        let mut changed = vec![base.clone(); 6];
        changed[0].stage = BindingStage::Key;
        changed[1].genesis = Digest32([9; 32]);
        changed[2].node_key_digest = Digest32([9; 32]);
        changed[3].head = PoseidonDigest::from_elements([1, 0, 0, 0]).unwrap();
        changed[4].index = 8;
        changed[5].challenge = Challenge::VerifierNonce(Digest32([0; 32]));
        for other in changed {
            assert_ne!(other.report_data(digest), base.report_data(digest));
            assert_ne!(other.gpu_nonce(Device::default_for_test()), base.gpu_nonce(Device::default_for_test()));
        }
        assert_ne!(base.report_data(Digest32([4; 32])), base.report_data(digest));
    }

    impl Device {
        fn default_for_test() -> Self {
            Self(Digest32([5; 32]))
        }
    }
}
