//! **Duty.** Intel's statements about one TDX platform model: four answers made into the one collateral file that schemes
//! read, the signed parts as they came. **Spec.** EVIDENCE §2.3 (PCS v4).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use weighbridge_endorsements::{PckAuthority, TcbUpdate};

use super::{Services, base};
use crate::error::FetchError;
use crate::fetcher::Fetcher;
use crate::http::{Ask, Reply};

/// Longest of Intel's JSON answers. Source: EVIDENCE §0 rule 5.
const MAX_JSON: u64 = 256 << 10;
/// Longest list. Source: EVIDENCE §0 rule 5.
const MAX_LIST: u64 = 1 << 20;

#[derive(Deserialize)]
struct TcbInfoAnswer<'a> {
    #[serde(borrow, rename = "tcbInfo")]
    inner: &'a RawValue,
    signature: String,
}

#[derive(Deserialize)]
struct IdentityAnswer<'a> {
    #[serde(borrow, rename = "enclaveIdentity")]
    inner: &'a RawValue,
    signature: String,
}

/// Asks for all four and joins them.
pub(crate) fn collateral(
    fmspc: [u8; 6],
    authority: PckAuthority,
    update: TcbUpdate,
    services: &Services,
    fetcher: &Fetcher,
) -> Result<Vec<u8>, Arc<FetchError>> {
    let (pcs, update) = (base(&services.intel), update.as_str());
    let tdx = format!("{pcs}/tdx/certification/v4");
    let fmspc = hex::encode(fmspc);
    let tcb = get(format!("{tdx}/tcb?fmspc={fmspc}&update={update}"), MAX_JSON, &["tcb-info-issuer-chain"], fetcher)?;
    let chains = ["sgx-enclave-identity-issuer-chain", "enclave-identity-issuer-chain"];
    let identity = get(format!("{tdx}/qe/identity?update={update}"), MAX_JSON, &chains, fetcher)?;
    let ca = authority.as_str();
    let list = format!("{pcs}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der");
    let list = get(list, MAX_LIST, &["sgx-pck-crl-issuer-chain"], fetcher)?;
    let root = get(format!("{}/IntelSGXRootCA.der", base(&services.intel_root)), MAX_LIST, &[], fetcher)?;
    let info: TcbInfoAnswer<'_> = tcb.json()?;
    let enclave: IdentityAnswer<'_> = identity.json()?;
    let joined = json!({
        "pck_crl_issuer_chain": list.chain()?,
        "root_ca_crl": hex::encode(&root.reply.body),
        "pck_crl": hex::encode(&list.reply.body),
        "tcb_info_issuer_chain": tcb.chain()?,
        "tcb_info": info.inner.get(),
        "tcb_info_signature": info.signature,
        "qe_identity_issuer_chain": identity.chain()?,
        "qe_identity": enclave.inner.get(),
        "qe_identity_signature": enclave.signature,
    });
    Ok((joined.to_string() + "\n").into_bytes())
}

/// An answer with its address, for sentences.
struct From {
    url: String,
    reply: Arc<Reply>,
}

fn get(url: String, cap: u64, headers: &[&'static str], fetcher: &Fetcher) -> Result<From, Arc<FetchError>> {
    let ask = Ask { headers: headers.to_vec(), ..Ask::get(url.clone(), cap) };
    Ok(From { url, reply: fetcher.get(&ask)? })
}

impl From {
    fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Arc<FetchError>> {
        serde_json::from_slice(&self.reply.body).map_err(|why| self.refused(why.to_string()))
    }

    /// The issuers' certificates travel in a header, percent-encoded.
    fn chain(&self) -> Result<String, Arc<FetchError>> {
        let header = self.reply.headers.iter().flatten().next();
        let header =
            header.ok_or_else(|| self.refused("it has no header with the issuers' certificates".to_owned()))?;
        percent_decoded(header)
            .ok_or_else(|| self.refused("the header with the issuers' certificates is unreadable".to_owned()))
    }

    fn refused(&self, why: String) -> Arc<FetchError> {
        Arc::new(FetchError::Answer { url: self.url.clone(), why })
    }
}

/// RFC 3986 §2.1; a plus sign stays one.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_once_and_strictly() {
        assert_eq!(percent_decoded("a%0Ab+%2B").as_deref(), Some("a\nb++"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_inner_object_stays_as_it_was_sent() {
        let answer = r#"{"tcbInfo":{"b": 1,  "a":2 },"signature":"00"}"#;
        let read: TcbInfoAnswer<'_> = serde_json::from_str(answer).unwrap();
        assert_eq!(read.inner.get(), r#"{"b": 1,  "a":2 }"#);
    }
}
