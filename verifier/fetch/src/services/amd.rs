//! **Duty.** AMD's certificates and lists. **Spec.** EVIDENCE §3.4 (KDS).

use weighbridge_attest_types::{SnpProduct, SnpSigner, SnpTcb};

use super::{Services, base};
use crate::http::Ask;

/// Longest certificate or chain. Source: EVIDENCE §0 rule 5.
const MAX_CERTIFICATES: u64 = 16 << 10;
/// Longest list. Source: EVIDENCE §0 rule 5.
const MAX_LIST: u64 = 1 << 20;

/// Both certificates above a line's VEKs.
pub(crate) fn chain(product: SnpProduct, signer: SnpSigner, services: &Services) -> Ask {
    Ask::get(format!("{}/cert_chain", line(product, signer, services)), MAX_CERTIFICATES)
}

/// The list of a line's root.
pub(crate) fn list(product: SnpProduct, signer: SnpSigner, services: &Services) -> Ask {
    Ask::get(format!("{}/crl", line(product, signer, services)), MAX_LIST)
}

/// One chip's certificate at one TCB.
pub(crate) fn vcek(product: SnpProduct, chip: &[u8], tcb: SnpTcb, services: &Services) -> Ask {
    let SnpTcb { fmc, bootloader, tee, snp, microcode } = tcb;
    let fmc = fmc.map_or_else(String::new, |fmc| format!("fmcSPL={fmc:02}&"));
    let levels = format!("{fmc}blSPL={bootloader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}");
    let line = line(product, SnpSigner::Vcek, services);
    Ask::get(format!("{line}/{}?{levels}", hex::encode(chip)), MAX_CERTIFICATES)
}

fn line(product: SnpProduct, signer: SnpSigner, services: &Services) -> String {
    let word = match signer {
        SnpSigner::Vcek => "vcek",
        SnpSigner::Vlek => "vlek",
    };
    format!("{}/{word}/v1/{}", base(&services.amd), product.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_service() {
        let services = Services::default();
        let tcb = SnpTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };
        let milan = vcek(SnpProduct::Milan, &[0xab; 64], tcb, &services);
        let expected = "https://kdsintf.amd.com/vcek/v1/Milan/";
        let levels = "blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219";
        assert_eq!(milan.url, format!("{expected}{}?{levels}", "ab".repeat(64)));
        let turin = vcek(SnpProduct::Turin, &[1; 8], SnpTcb { fmc: Some(1), ..tcb }, &services);
        assert!(turin.url.ends_with(&format!("/Turin/0101010101010101?fmcSPL=01&{levels}")), "{}", turin.url);
        let services = Services { amd: "http://mirror/kds//".to_owned(), ..services };
        assert_eq!(
            chain(SnpProduct::Genoa, SnpSigner::Vlek, &services).url,
            "http://mirror/kds/vlek/v1/Genoa/cert_chain"
        );
        assert_eq!(list(SnpProduct::Genoa, SnpSigner::Vcek, &services).url, "http://mirror/kds/vcek/v1/Genoa/crl");
    }
}
