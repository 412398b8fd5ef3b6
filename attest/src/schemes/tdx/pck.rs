//! **Duty.** What the PCK certificate says about the platform: Intel's SGX extension. **Does not know** whether the
//! certificate is trusted. **Spec.** EVIDENCE §2.3 (1.2.840.113741.1.13.1).

use x509_parser::asn1_rs::{Any, FromDer as _, Oid, Tag, oid};
use x509_parser::prelude::X509Certificate;

use crate::error::Failure;
use crate::x509::extension;

/// The platform as its PCK certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PckFacts {
    /// The platform's stable id, in plain text.
    pub(super) ppid: [u8; 16],
    /// Family, model, stepping, platform, custom SKU: what collateral is published for.
    pub(super) fmspc: [u8; 6],
    /// The Provisioning Certification Enclave.
    pub(super) pce_id: [u8; 2],
    /// Its version.
    pub(super) pce_svn: u16,
    /// SGX TCB components.
    pub(super) sgx_svn: [u8; 16],
    /// 0 standard, 1 scalable, 2 scalable with integrity.
    pub(super) sgx_type: u8,
    /// Platform CA only, as all that follow.
    pub(super) instance: Option<[u8; 16]>,
    pub(super) dynamic: Option<bool>,
    pub(super) cached_keys: Option<bool>,
    pub(super) smt: Option<bool>,
}

/// Reads the extension; every field once, every field of its exact size.
pub(super) fn read_facts(pck: &X509Certificate<'_>) -> Result<PckFacts, Failure> {
    let unreadable = || Failure::new("pck-extension", "the PCK certificate has no readable SGX extension");
    extension(pck, &oid!(1.2.840.113741.1.13.1)).and_then(parse).ok_or_else(unreadable)
}

fn parse(extension: &[u8]) -> Option<PckFacts> {
    let fields = entries(sequence(extension)?)?;
    let tcb = entries(fields.constructed(2)?)?;
    let mut sgx_svn = [0; 16];
    for (number, svn) in (1u64..).zip(&mut sgx_svn) {
        *svn = u8::try_from(tcb.integer(number)?).ok()?;
    }
    let flags = fields.constructed_if_there(7)?.map(entries);
    let flags = match flags {
        Some(flags) => flags?,
        None => Entries(Vec::new()),
    };
    Some(PckFacts {
        ppid: fields.octets(1)?,
        pce_id: fields.octets(3)?,
        fmspc: fields.octets(4)?,
        pce_svn: tcb.integer(17)?,
        sgx_svn,
        sgx_type: fields.enumerated(5)?,
        instance: fields.octets_if_there(6)?,
        dynamic: flags.boolean(1)?,
        cached_keys: flags.boolean(2)?,
        smt: flags.boolean(3)?,
    })
}

/// Pairs of OID and value; a pair is known by the last arc of its OID.
struct Entries<'a>(Vec<(u64, Any<'a>)>);

impl<'a> Entries<'a> {
    fn get(&self, arc: u64, tag: Tag) -> Option<&'a [u8]> {
        let (_, value) = self.0.iter().find(|(found, _)| *found == arc)?;
        (value.header.tag() == tag).then_some(value.data)
    }

    fn constructed(&self, arc: u64) -> Option<&'a [u8]> {
        self.get(arc, Tag::Sequence)
    }

    fn octets<const N: usize>(&self, arc: u64) -> Option<[u8; N]> {
        self.get(arc, Tag::OctetString)?.try_into().ok()
    }

    fn has(&self, arc: u64) -> bool {
        self.0.iter().any(|(found, _)| *found == arc)
    }

    fn constructed_if_there(&self, arc: u64) -> Option<Option<&'a [u8]>> {
        if self.has(arc) { self.constructed(arc).map(Some) } else { Some(None) }
    }

    fn octets_if_there<const N: usize>(&self, arc: u64) -> Option<Option<[u8; N]>> {
        if self.has(arc) { self.octets(arc).map(Some) } else { Some(None) }
    }

    /// Absent, or one of DER's two.
    fn boolean(&self, arc: u64) -> Option<Option<bool>> {
        match (self.has(arc), self.get(arc, Tag::Boolean)) {
            (false, _) => Some(None),
            (true, Some([0xff])) => Some(Some(true)),
            (true, Some([0])) => Some(Some(false)),
            (true, _) => None,
        }
    }

    fn enumerated(&self, arc: u64) -> Option<u8> {
        match *self.get(arc, Tag::Enumerated)? {
            [value] => Some(value),
            _ => None,
        }
    }

    /// A non-negative INTEGER below 2¹⁶: one or two bytes, or three with a leading zero.
    fn integer(&self, arc: u64) -> Option<u16> {
        match *self.get(arc, Tag::Integer)? {
            [low] if low < 0x80 => Some(u16::from(low)),
            [high, low] if high < 0x80 => Some(u16::from_be_bytes([high, low])),
            [0, high, low] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
}

/// `None` when bytes are left over, an entry is not a pair, or an arc appears twice.
fn entries(mut bytes: &[u8]) -> Option<Entries<'_>> {
    let mut found: Vec<(u64, Any<'_>)> = Vec::new();
    while !bytes.is_empty() {
        let (rest, entry) = Any::from_der(bytes).ok()?;
        let (value, name) = Oid::from_der(entry.data).ok()?;
        let (after, value) = Any::from_der(value).ok()?;
        let arc = name.iter()?.last()?;
        if entry.header.tag() != Tag::Sequence || !after.is_empty() || found.iter().any(|(other, _)| *other == arc) {
            return None;
        }
        found.push((arc, value));
        bytes = rest;
    }
    Some(Entries(found))
}

fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, value) = Any::from_der(bytes).ok()?;
    (rest.is_empty() && value.header.tag() == Tag::Sequence).then_some(value.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        let [high, low] = length.to_be_bytes();
        let mut bytes = if length < 0x80 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
        if (0x80..0x100).contains(&length) {
            bytes = vec![tag, 0x81, low];
        }
        bytes.extend(content);
        bytes
    }

    fn pair(arcs: &[u8], value: Vec<u8>) -> Vec<u8> {
        let oid = [&[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01], arcs].concat();
        der(0x30, &[der(0x06, &oid), value].concat())
    }

    fn sample(change: impl Fn(&mut Vec<Vec<u8>>, &mut Vec<Vec<u8>>)) -> Vec<u8> {
        let mut tcb: Vec<Vec<u8>> = (1..=16).map(|n| pair(&[2, n], der(2, &[n]))).collect();
        tcb.push(pair(&[2, 17], der(2, &[0, 0x90, 1])));
        tcb.push(pair(&[2, 18], der(4, &[0; 16])));
        let mut fields = vec![
            pair(&[1], der(4, &[0xaa; 16])),
            pair(&[3], der(4, &[0, 1])),
            pair(&[4], der(4, &[1, 2, 3, 4, 5, 6])),
            pair(&[5], der(10, &[0])),
        ];
        change(&mut fields, &mut tcb);
        fields.push(pair(&[2], der(0x30, &tcb.concat())));
        der(0x30, &fields.concat())
    }

    #[test]
    fn all_fields_are_read() {
        let facts = parse(&sample(|_, _| {})).unwrap();
        let sgx_svn = std::array::from_fn(|index| u8::try_from(index + 1).unwrap());
        let expected = PckFacts {
            ppid: [0xaa; 16],
            fmspc: [1, 2, 3, 4, 5, 6],
            pce_id: [0, 1],
            pce_svn: 0x9001,
            sgx_svn,
            sgx_type: 0,
            instance: None,
            dynamic: None,
            cached_keys: None,
            smt: None,
        };
        assert_eq!(facts, expected);
        let flags = [pair(&[7, 1], der(1, &[0xff])), pair(&[7, 3], der(1, &[0]))].concat();
        let platform = parse(&sample(|fields, _| {
            fields.push(pair(&[6], der(4, &[0xbb; 16])));
            fields.push(pair(&[7], der(0x30, &flags)));
        }));
        let with = PckFacts { instance: Some([0xbb; 16]), dynamic: Some(true), smt: Some(false), ..expected };
        assert_eq!(platform, Some(with));
    }

    #[test]
    fn missing_repeated_short_and_negative_fields_are_refused() {
        assert_eq!(parse(&sample(|fields, _| drop(fields.remove(0)))), None);
        assert_eq!(parse(&sample(|fields, _| fields.push(pair(&[1], der(4, &[0; 16]))))), None);
        assert_eq!(parse(&sample(|fields, _| fields[0] = pair(&[1], der(4, &[0; 15])))), None);
        assert_eq!(parse(&sample(|fields, _| drop(fields.remove(3)))), None);
        assert_eq!(parse(&sample(|fields, _| fields.push(pair(&[6], der(4, &[0; 15]))))), None);
        assert_eq!(parse(&sample(|fields, _| fields.push(pair(&[7], der(4, &[]))))), None);
        let loose = |value: &'static [u8]| {
            parse(&sample(move |fields, _| {
                fields.push(pair(&[7], der(0x30, &pair(&[7, 2], der(1, value)))));
            }))
        };
        assert!(loose(&[1]).is_none() && loose(&[]).is_none() && loose(&[0]).is_some());
        assert_eq!(parse(&sample(|_, tcb| drop(tcb.remove(3)))), None);
        assert_eq!(parse(&sample(|_, tcb| tcb[3] = pair(&[2, 4], der(2, &[0x80])))), None);
        assert_eq!(parse(&sample(|_, tcb| tcb[3] = pair(&[2, 4], der(2, &[1, 0])))), None);
    }

    #[test]
    fn a_certificate_without_the_extension_is_no_pck() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let plain = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(plain.der()).unwrap();
        assert_eq!(read_facts(&certificate).unwrap_err().code, "pck-extension");
    }

    #[test]
    fn truncations_are_refused() {
        let whole = sample(|_, _| {});
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
    }
}
