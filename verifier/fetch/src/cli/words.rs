//! **Duty.** Arguments of each request, checked before anything travels.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ring::rand::{SecureRandom as _, SystemRandom};
use weighbridge_attest::pem_certificates;
use weighbridge_attest_types::{SnpProduct, SnpSigner, SnpTcb};
use weighbridge_endorsements::Key;

use super::{Authority, Update, Wanted, read};
use crate::error::FetchError;
use crate::job::Job;

/// Longest chain in PEM. Source: EVIDENCE §0 rule 5.
const MAX_CHAIN_BYTES: u64 = 16 << 10;

/// Fetches TCB info, QE identity and revocation lists of one TDX platform model, as one collateral file
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge-fetch intel --fmspc 90c06f000000 --store endorsements")]
pub(crate) struct IntelArgs {
    /// Platform model, 12 hex digits: weighbridge appraise names it when collateral is missing
    #[arg(long, value_name = "HEX", value_parser = bytes_of::<6>)]
    fmspc: [u8; 6],
    /// Which authority issued the platform's certificate
    #[arg(long, value_enum, default_value_t)]
    ca: Authority,
    /// Which of Intel's two evaluations of TCBs
    #[arg(long, value_enum, default_value_t)]
    update: Update,
}

/// Fetches AMD's certificates above a product line's VEKs, or its revocation list
#[derive(Debug, Args)]
#[command(after_help = "Examples: weighbridge-fetch amd-chain --product Milan --store endorsements; \
    weighbridge-fetch amd-crl --product Milan --store endorsements")]
pub(crate) struct AmdLineArgs {
    /// Product line
    #[arg(long, value_enum)]
    product: Product,
    /// For keys that AMD lends to cloud providers
    #[arg(long)]
    vlek: bool,
}

/// Fetches the certificate of one chip at one TCB
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge-fetch amd-vcek --product Milan --chip 3ac3fe21… \
    --tcb bootloader=4,tee=0,snp=24,microcode=219 --store endorsements")]
pub(crate) struct AmdVcekArgs {
    /// Product line
    #[arg(long, value_enum)]
    product: Product,
    /// Chip id as the report has it: 128 hex digits, of Turin 16
    #[arg(long, value_name = "HEX", value_parser = hex_bytes)]
    chip: Hex,
    /// Reported TCB, part by part; of Turin also fmc=N
    #[arg(long, value_name = "PARTS", value_parser = tcb)]
    tcb: SnpTcb,
}

/// Fetches files of reference measurements by their ids
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge-fetch nvidia-rim NV_GPU_DRIVER_GH100_550.90.07 --store endorsements")]
pub(crate) struct NvidiaRimArgs {
    /// Ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Asks NVIDIA's responder about the certificates of a chain
#[derive(Debug, Args)]
#[command(after_help = "Example: weighbridge-fetch nvidia-ocsp --chain gpu0-chain.pem --store endorsements")]
pub(crate) struct NvidiaOcspArgs {
    /// Chain in PEM, leaf first, root last
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// Ask about the first certificate too; the responder does not speak about a device's own
    #[arg(long)]
    leaf: bool,
}

/// Product lines as AMD spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Product {
    #[value(name = "Milan", alias = "milan")]
    Milan,
    #[value(name = "Genoa", alias = "genoa")]
    Genoa,
    #[value(name = "Turin", alias = "turin")]
    Turin,
}

/// Bytes of any length; a newtype, because clap takes a `Vec` for several values.
#[derive(Debug, Clone)]
struct Hex(Vec<u8>);

impl Product {
    const fn line(self) -> SnpProduct {
        match self {
            Self::Milan => SnpProduct::Milan,
            Self::Genoa => SnpProduct::Genoa,
            Self::Turin => SnpProduct::Turin,
        }
    }
}

impl AmdLineArgs {
    const fn signer(&self) -> SnpSigner {
        if self.vlek { SnpSigner::Vlek } else { SnpSigner::Vcek }
    }
}

impl Wanted {
    /// The jobs behind the words.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>, FetchError> {
        let one = |key: Key| Ok(vec![Job::from(key)]);
        match self {
            Self::Intel(IntelArgs { fmspc, ca, update }) => {
                one(Key::IntelTdx { fmspc: *fmspc, authority: (*ca).into(), update: (*update).into() })
            }
            Self::AmdChain(line) => one(Key::AmdChain { product: line.product.line(), signer: line.signer() }),
            Self::AmdCrl(line) => one(Key::AmdList { product: line.product.line(), signer: line.signer() }),
            Self::AmdVcek(AmdVcekArgs { product, chip, tcb }) => {
                one(Key::vcek(product.line(), &chip.0, *tcb).map_err(FetchError::Key)?)
            }
            Self::NvidiaRim(rims) => {
                rims.ids.iter().map(|id| Key::rim(id).map(Job::from).map_err(FetchError::Key)).collect()
            }
            Self::NvidiaOcsp(ocsp) => ocsp.jobs(),
        }
    }
}

impl NvidiaOcspArgs {
    /// One question per certificate, each to its issuer; a root has none.
    fn jobs(&self) -> Result<Vec<Job>, FetchError> {
        let named = |why: String| FetchError::Words(format!("{}: {why}", self.chain.display()));
        let chain = pem_certificates(&read(&self.chain, MAX_CHAIN_BYTES)?).map_err(|error| named(error.to_string()))?;
        if chain.len() < 2 {
            return Err(named(format!("{} certificates; a chain has leaf, authorities and root", chain.len())));
        }
        let pairs = chain.iter().zip(chain.iter().skip(1)).skip(usize::from(!self.leaf));
        pairs.map(|(certificate, issuer)| Job::ocsp(certificate, issuer, nonce()?)).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the door: a nonce is the system's randomness")]
fn nonce() -> Result<[u8; 32], FetchError> {
    let mut nonce = [0; 32];
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map(|()| nonce).map_err(|_| FetchError::Words("the system gave no randomness".to_owned()))
}

/// A base URL: http or https, a host, nothing that a path could not follow.
pub(super) fn url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits = |rest: &&str| {
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@' | b'"' | b'<' | b'>' | b'\\');
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(plain)
    };
    rest.filter(fits)
        .map(|_| text.to_owned())
        .ok_or_else(|| format!("`{text}` is no base URL, such as https://host/path"))
}

/// Text of a small file.
pub(super) fn text_of(path: &Path, cap: u64) -> Result<String, FetchError> {
    let text = String::from_utf8(read(path, cap)?);
    text.map_err(|_| FetchError::Words(format!("{} is not text", path.display())))
}

fn bytes_of<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = hex::decode(text).map_err(|error| format!("not hex: {error}"))?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| format!("{found} bytes; it must be {N} bytes, {} hex digits", N * 2))
}

fn hex_bytes(text: &str) -> Result<Hex, String> {
    hex::decode(text).map(Hex).map_err(|error| format!("not hex: {error}"))
}

/// `bootloader=4,tee=0,snp=24,microcode=219`, each once.
fn tcb(text: &str) -> Result<SnpTcb, String> {
    let syntax =
        |why: &str| format!("`{text}`: {why}; write bootloader=4,tee=0,snp=24,microcode=219, of Turin also fmc=1");
    let mut parts: [Option<u8>; 5] = [None; 5];
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| syntax("no value"))?;
        let names = ["fmc", "bootloader", "tee", "snp", "microcode"];
        let place = names.iter().position(|known| *known == name).ok_or_else(|| syntax("an unknown part"))?;
        let value = value.parse().map_err(|_| syntax("a value is 0 to 255"))?;
        if parts.get_mut(place).is_none_or(|part| part.replace(value).is_some()) {
            return Err(syntax("a part stands twice"));
        }
    }
    match parts {
        [fmc, Some(bootloader), Some(tee), Some(snp), Some(microcode)] => {
            Ok(SnpTcb { fmc, bootloader, tee, snp, microcode })
        }
        _ => Err(syntax("a part is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_have_a_form() {
        assert!(url("http://127.0.0.1:80/x").is_ok() && url("https://a").is_ok());
        for wrong in ["", "ftp://a", "https://", "https:///x", "https://a?b", "https://u@a", "https://a b", "file:///x"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tcb_has_each_part_once() {
        let milan = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };
        assert_eq!(tcb("bootloader=4,tee=0,snp=24,microcode=219"), Ok(milan));
        assert_eq!(tcb("microcode=219,snp=24,tee=0,bootloader=4,fmc=1"), Ok(SnpTcb { fmc: Some(1), ..milan }));
        for wrong in [
            "",
            "tee=0",
            "bootloader=4,tee=0,snp=24,microcode=256",
            "bootloader=4,tee=0,snp=24,snp=24,microcode=1",
            "x=1",
        ] {
            assert!(tcb(wrong).is_err(), "{wrong}");
        }
    }
}
