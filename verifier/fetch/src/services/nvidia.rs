//! **Duty.** NVIDIA's reference measurements by id, and its answers about certificates. **Spec.** EVIDENCE §1.4, §1.7, §1.8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use weighbridge_attest_types::sha256;

use super::{Services, base};
use crate::http::Ask;

/// Longest answer with a RIM. Source: EVIDENCE §0 rule 5 (256 KiB), in base64 and JSON.
const MAX_RIM_ANSWER: u64 = 512 << 10;
/// Longest OCSP answer. Source: EVIDENCE §0 rule 5 for certificates; it carries one.
const MAX_OCSP: u64 = 16 << 10;

/// A RIM. Its id has been checked: it stands in the path.
pub(crate) fn rim(id: &str, services: &Services) -> Ask {
    let url = format!("{}/v1/rim/{id}", base(&services.nvidia_rim));
    Ask { with_token: true, ..Ask::get(url, MAX_RIM_ANSWER) }
}

/// An answer about a certificate.
pub(crate) fn ocsp(request: Vec<u8>, services: &Services) -> Ask {
    let url = base(&services.nvidia_ocsp).to_owned() + "/";
    Ask { post: Some(("application/ocsp-request", request)), ..Ask::get(url, MAX_OCSP) }
}

/// What the service wraps a RIM in.
#[derive(Deserialize)]
struct RimAnswer {
    id: Option<String>,
    rim: String,
    sha256: Option<String>,
}

/// The file inside an answer. The digest beside it tells a damaged transport and nothing else.
pub(crate) fn rim_file(id: &str, answer: &[u8]) -> Result<Vec<u8>, String> {
    let answer: RimAnswer = serde_json::from_slice(answer).map_err(|why| why.to_string())?;
    if answer.id.as_ref().is_some_and(|found| found != id) {
        return Err("it is about another id".to_owned());
    }
    let file = STANDARD.decode(&answer.rim).map_err(|why| format!("the RIM is not base64: {why}"))?;
    let digest = sha256(&file).to_string();
    match answer.sha256 {
        Some(found) if !found.eq_ignore_ascii_case(&digest) => Err("it was damaged on its way (SHA-256)".to_owned()),
        _ if !looks_like_a_rim(&file) => Err("it holds no SoftwareIdentity".to_owned()),
        _ => Ok(file),
    }
}

fn looks_like_a_rim(file: &[u8]) -> bool {
    let mark = b"SoftwareIdentity";
    file.trim_ascii_start().starts_with(b"<") && file.windows(mark.len()).any(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rim_is_unwrapped_and_a_wrong_one_refused() {
        let file = b"<SoftwareIdentity/>";
        let (rim, digest) = (STANDARD.encode(file), sha256(file).to_string());
        let answer =
            |id: &str, rim: &str, digest: &str| format!(r#"{{"id":"{id}","rim":"{rim}","sha256":"{digest}","x":1}}"#);
        let read = |text: String| rim_file("A", text.as_bytes());
        assert_eq!(read(answer("A", &rim, &digest.to_uppercase())), Ok(file.to_vec()));
        assert_eq!(read(format!(r#"{{"rim":"{rim}"}}"#)), Ok(file.to_vec()));
        assert_eq!(read(answer("B", &rim, &digest)), Err("it is about another id".to_owned()));
        assert_eq!(read(answer("A", &rim, "00")), Err("it was damaged on its way (SHA-256)".to_owned()));
        assert!(read(answer("A", "?", &digest)).unwrap_err().starts_with("the RIM is not base64"));
        assert!(read(r#"{"rim":"PGh0bWw+"}"#.to_owned()).unwrap_err().contains("SoftwareIdentity"));
        assert!(read("<html>".to_owned()).is_err());
    }

    #[test]
    fn addresses_are_those_of_the_services() {
        let services = Services::default();
        let rim = rim("NV_GPU_DRIVER_GH100_550.90.07", &services);
        assert_eq!(rim.url, "https://rim.attestation.nvidia.com/v1/rim/NV_GPU_DRIVER_GH100_550.90.07");
        assert!(rim.with_token);
        let ocsp = ocsp(vec![1], &services);
        assert_eq!((ocsp.url.as_str(), ocsp.with_token), ("http://ocsp.ndis.nvidia.com/", false));
    }
}
