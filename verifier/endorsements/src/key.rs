//! **Duty.** The name under which a statement lies in a store: for whom it is, and nothing that the statement itself says.
//! Two statements about one thing have one name, so the newer replaces the older. **Does not know** what is in a file.
//! **Spec.** ECOSYSTEM §3 (13: cache by product, chip and TCB), EVIDENCE §1.4 (RIM ids are checked before use).

use thiserror::Error;
use weighbridge_attest_types::{SnpProduct, SnpSigner, SnpTcb, sha256};

/// Which authority issued a PCK certificate, and hence whose list speaks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PckAuthority {
    /// Multi-package platforms.
    Platform,
    /// Single-package ones.
    Processor,
}

/// Which of Intel's two evaluations of TCBs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcbUpdate {
    /// After platforms had time to follow.
    Standard,
    /// As soon as it is published.
    Early,
}

/// One statement of a vendor, by whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// TCB info, QE identity and lists of one platform model, as one collateral file.
    IntelTdx {
        /// The model.
        fmspc: [u8; 6],
        /// Whose list.
        authority: PckAuthority,
        /// Which evaluation.
        update: TcbUpdate,
    },
    /// AMD's certificates above a product line's VEKs.
    AmdChain {
        /// The line.
        product: SnpProduct,
        /// Which kind of VEK.
        signer: SnpSigner,
    },
    /// AMD's revocation list of a product line.
    AmdList {
        /// The line.
        product: SnpProduct,
        /// Which kind of VEK.
        signer: SnpSigner,
    },
    /// The certificate of one chip at one TCB.
    AmdVcek {
        /// The line.
        product: SnpProduct,
        /// 64 bytes, of Turin 8.
        chip: Vec<u8>,
        /// Of the firmware.
        tcb: SnpTcb,
    },
    /// A file of reference measurements.
    NvidiaRim {
        /// Its id, checked by [`Key::rim`].
        id: String,
    },
    /// An answer about one certificate.
    NvidiaOcsp {
        /// SHA-256 of the certificate.
        certificate: [u8; 32],
    },
}

/// Why there is no such statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An id that may not enter a URL.
    #[error(
        "RIM id {0:?}: only letters, digits, dots, hyphens and underscores, at most {MAX_RIM_ID}, not beginning with a dot"
    )]
    RimId(String),
    /// A chip id of another length.
    #[error("a chip id of {product} has {wanted} bytes, this one {found}")]
    Chip {
        /// The line.
        product: &'static str,
        /// Bytes that it must have.
        wanted: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// A TCB of another product line.
    #[error("a TCB of {product} {} an fmc", if *wanted { "has" } else { "does not have" })]
    Fmc {
        /// The line.
        product: &'static str,
        /// Whether there must be one.
        wanted: bool,
    },
}

/// Longest RIM id. Source: ours; genuine ones have at most 45 characters.
const MAX_RIM_ID: usize = 100;

impl Key {
    /// A RIM by its id.
    ///
    /// # Errors
    /// [`KeyError::RimId`].
    pub fn rim(id: &str) -> Result<Self, KeyError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=MAX_RIM_ID).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.');
        if fits { Ok(Self::NvidiaRim { id: id.to_owned() }) } else { Err(KeyError::RimId(id.to_owned())) }
    }

    /// A VCEK by its chip and TCB.
    ///
    /// # Errors
    /// [`KeyError::Chip`], [`KeyError::Fmc`].
    pub fn vcek(product: SnpProduct, chip: &[u8], tcb: SnpTcb) -> Result<Self, KeyError> {
        let is_turin = product == SnpProduct::Turin;
        let (wanted, found) = (if is_turin { 8 } else { 64 }, chip.len());
        if found != wanted {
            return Err(KeyError::Chip { product: product.as_str(), wanted, found });
        }
        if tcb.fmc.is_some() != is_turin {
            return Err(KeyError::Fmc { product: product.as_str(), wanted: is_turin });
        }
        Ok(Self::AmdVcek { product, chip: chip.to_vec(), tcb })
    }

    /// Its name below the store's folder.
    #[must_use]
    pub fn name(&self) -> String {
        let line = |product: &SnpProduct| product.as_str().to_ascii_lowercase();
        match self {
            Self::IntelTdx { fmspc, authority, update } => {
                format!("intel/tdx/{}-{}-{}.json", hex::encode(fmspc), authority.as_str(), update.as_str())
            }
            Self::AmdChain { product, signer } => format!("amd/{}/{}-chain.pem", line(product), signer_word(*signer)),
            Self::AmdList { product, signer } => format!("amd/{}/{}-crl.der", line(product), signer_word(*signer)),
            Self::AmdVcek { product, chip, tcb } => {
                let SnpTcb { fmc, bootloader, tee, snp, microcode } = tcb;
                let fmc = fmc.map_or_else(String::new, |fmc| format!("{fmc}-"));
                // A name of 128 digits is over the cap of an archive's names; a digest is as good a name.
                let chip = if chip.len() > 32 { sha256(chip).to_string() } else { hex::encode(chip) };
                format!("amd/{}/vcek/{chip}/{fmc}{bootloader}-{tee}-{snp}-{microcode}.der", line(product))
            }
            Self::NvidiaRim { id } => {
                // Case and underscores do not survive in a name; the digest keeps two ids apart.
                let plain: String = id.to_ascii_lowercase().replace('_', "-");
                let digest: String = sha256(id.as_bytes()).to_string().chars().take(16).collect();
                format!("nvidia/rim/{plain}.{digest}.swidtag")
            }
            Self::NvidiaOcsp { certificate } => format!("nvidia/ocsp/{}.der", hex::encode(certificate)),
        }
    }
}

impl PckAuthority {
    /// Intel's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }
}

impl TcbUpdate {
    /// Intel's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Early => "early",
        }
    }
}

/// AMD's word for a kind of VEK, as its service spells it.
const fn signer_word(signer: SnpSigner) -> &'static str {
    match signer {
        SnpSigner::Vcek => "vcek",
        SnpSigner::Vlek => "vlek",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCB: SnpTcb = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };

    #[test]
    fn names_say_for_whom_and_nothing_else() {
        let (authority, update) = (PckAuthority::Platform, TcbUpdate::Standard);
        let tdx = Key::IntelTdx { fmspc: [0x90, 0xc0, 0x6f, 0, 0, 0], authority, update };
        assert_eq!(tdx.name(), "intel/tdx/90c06f000000-platform-standard.json");
        let vcek = Key::vcek(SnpProduct::Milan, &[7; 64], TCB).unwrap();
        let chip = sha256(&[7; 64]);
        assert_eq!(vcek.name(), format!("amd/milan/vcek/{chip}/4-0-24-219.der"));
        let turin = Key::vcek(SnpProduct::Turin, &[7; 8], SnpTcb { fmc: Some(1), ..TCB }).unwrap();
        assert_eq!(turin.name(), "amd/turin/vcek/0707070707070707/1-4-0-24-219.der");
        let chain = Key::AmdChain { product: SnpProduct::Genoa, signer: SnpSigner::Vlek };
        assert_eq!(chain.name(), "amd/genoa/vlek-chain.pem");
        let names = ["NV_GPU_DRIVER_GH100_550.90.07", "NV-GPU_DRIVER_GH100_550.90.07", "nv_gpu_driver_gh100_550.90.07"];
        let names: std::collections::BTreeSet<String> = names.map(|id| Key::rim(id).unwrap().name()).into();
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn ids_that_could_leave_their_place_are_refused() {
        for id in ["", "..", "../x", "a/b", "a b", "a%2fb", "a?b", "a#b", "a\n", "é", ".a", &"a".repeat(101)] {
            assert_eq!(Key::rim(id), Err(KeyError::RimId(id.to_owned())));
        }
        let refused = Key::vcek(SnpProduct::Milan, &[7; 8], TCB).unwrap_err();
        assert_eq!(refused.to_string(), "a chip id of Milan has 64 bytes, this one 8");
        let refused = Key::vcek(SnpProduct::Turin, &[7; 8], TCB).unwrap_err();
        assert_eq!(refused.to_string(), "a TCB of Turin has an fmc");
    }
}
