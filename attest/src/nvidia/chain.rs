//! **Duty.** The device chain: five certificates with the names that say which chip this is, the stable id in the BROM
//! certificate, and the firmware identity in the leaf. **Spec.** EVIDENCE §1.3.

use weighbridge_attest_types::Pdi;
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, oid};
use x509_parser::prelude::X509Certificate;

use super::part::{Family, Part};
use crate::error::Failure;
use crate::x509::{common_name, extension, subject_serial};

const PDI_BYTES: usize = 8;
const FWID_BYTES: usize = 48;
/// Longest serial number. Source: RFC 5280 §4.1.2.2, with a leading zero.
const MAX_SERIAL_BYTES: usize = 21;
/// Element [6] of DiceTcbInfo.
const FWIDS_TAG: u32 = 6;

/// What the certificates say about the device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeviceIdentity {
    /// From the names.
    pub(super) family: &'static Family,
    /// The stable id.
    pub(super) pdi: Pdi,
    /// Name of the BROM certificate.
    pub(super) hw_model: String,
    /// Serial number of the leaf certificate, decimal.
    pub(super) ueid: String,
}

/// Why names do not make a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NameFailure {
    /// Not the names of such a device's chain.
    Wrong(Failure),
    /// Such a device's chain, of a chip that is not known here.
    UnknownFamily(Failure),
}

/// Reads chip family and stable id from the five names: `<chip> <revision> <processor> FMC LF`, `… <processor> BROM`,
/// `NVIDIA <chip> Provisioner ICA <number>`, `NVIDIA <chip> Identity`, and the root, which is pinned by key.
pub(super) fn read_identity(part: Part, certificates: &[X509Certificate<'_>]) -> Result<DeviceIdentity, NameFailure> {
    let codes = part.codes();
    let [leaf, brom, provisioner, identity, _root] = certificates else {
        let message = format!("a device chain has 5 certificates, this one {}", certificates.len());
        return Err(NameFailure::Wrong(Failure::new(codes.chain_length, message)));
    };
    let names = [leaf, brom, provisioner, identity].map(|certificate| common_name(certificate).unwrap_or_default());
    let wrong_names = || {
        let message = format!("the names {names:?} are not those of a {}'s chain", part.noun());
        NameFailure::Wrong(Failure::new(codes.chain_names, message))
    };
    let Some((chip, by)) = chip_of(part.processor(), names) else {
        return Err(wrong_names());
    };
    let Some(family) = part.families().iter().find(|family| family.in_certificates == chip) else {
        let known: Vec<&str> = part.families().iter().map(|family| family.in_certificates).collect();
        let message = format!("chip {chip:?} is not known here; known are {known:?}");
        return Err(NameFailure::UnknownFamily(Failure::new(codes.family_unknown, message)));
    };
    if family.identity != by {
        return Err(wrong_names());
    }
    let serial = subject_serial(brom).unwrap_or_default();
    let prefix = part.pdi_prefix();
    let Some(pdi) = pdi_of(prefix, serial) else {
        let message = format!("the BROM certificate's serialNumber {serial:?} is not {prefix} and a PDI");
        return Err(NameFailure::Wrong(Failure::new(codes.pdi, message)));
    };
    let [_, hw_model, ..] = names;
    if leaf.raw_serial().len() > MAX_SERIAL_BYTES {
        return Err(NameFailure::Wrong(Failure::new(codes.chain_names, "the leaf's serial number is too long")));
    }
    let (hw_model, ueid) = (hw_model.to_owned(), leaf.tbs_certificate.serial.to_string());
    Ok(DeviceIdentity { family, pdi, hw_model, ueid })
}

/// The firmware identity that the leaf certificate vouches for.
pub(super) fn read_fwid(leaf: &X509Certificate<'_>) -> Option<[u8; FWID_BYTES]> {
    let hopper: Oid<'_> = oid!(2.23.133.5.4.1);
    let blackwell: Oid<'_> = oid!(2.23.133.5.4.1.1);
    match (extension(leaf, &hopper), extension(leaf, &blackwell)) {
        (Some(value), None) => hopper_fwid(value),
        (None, Some(value)) => dice_fwid(value),
        _ => None,
    }
}

/// The chip, and the family in the identity authority's name.
fn chip_of<'n>(processor: &str, [leaf, brom, provisioner, identity]: [&'n str; 4]) -> Option<(&'n str, &'n str)> {
    let (chip, revision) = leaf.strip_suffix(&format!(" {processor} FMC LF"))?.split_once(' ')?;
    let plain = |text: &str| {
        let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !text.is_empty() && text.bytes().all(known)
    };
    let ica = provisioner.strip_prefix(&format!("NVIDIA {chip} Provisioner ICA "))?;
    let by = identity.strip_prefix("NVIDIA ")?.strip_suffix(" Identity")?;
    let fits = plain(chip)
        && plain(revision)
        && plain(by)
        && brom == format!("{chip} {revision} {processor} BROM")
        && !ica.is_empty()
        && ica.bytes().all(|b| b.is_ascii_digit());
    fits.then_some((chip, by))
}

fn pdi_of(prefix: &str, serial: &str) -> Option<Pdi> {
    let bytes = hex::decode(serial.strip_prefix(prefix)?).ok()?;
    <[u8; PDI_BYTES]>::try_from(bytes).ok().map(Pdi)
}

/// Hopper: the extension ends in the digest.
fn hopper_fwid(value: &[u8]) -> Option<[u8; FWID_BYTES]> {
    value.last_chunk::<FWID_BYTES>().copied()
}

/// Blackwell: DiceTcbInfo, element [6] fwids; the first entry with the SHA-384 OID. Later entries are layers that a GPU
/// leaves zero.
fn dice_fwid(value: &[u8]) -> Option<[u8; FWID_BYTES]> {
    let elements = children(sequence(value)?)?;
    let fwids = elements.iter().find(|any| any.header.tag().0 == FWIDS_TAG && any.header.is_constructed())?;
    let sha384: Oid<'_> = oid!(2.16.840.1.101.3.4.2.2);
    let digest = |entry: &Any<'_>| match children(entry.data)?.as_slice() {
        [algorithm, digest] if algorithm.clone().oid().ok()? == sha384 => digest.data.try_into().ok(),
        _ => None,
    };
    children(fwids.data)?.iter().find_map(digest)
}

/// Contents of the one SEQUENCE that fills `value`.
fn sequence(value: &[u8]) -> Option<&[u8]> {
    match children(value)?.as_slice() {
        [only] if only.header.tag() == x509_parser::asn1_rs::Tag::Sequence => Some(only.data),
        _ => None,
    }
}

/// The DER values that fill `bytes` exactly.
fn children(bytes: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (after, value) = Any::from_der(rest).ok()?;
        values.push(value);
        rest = after;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPPER: [&str; 4] =
        ["GH100 A01 GSP FMC LF", "GH100 A01 GSP BROM", "NVIDIA GH100 Provisioner ICA 1", "NVIDIA GH100 Identity"];

    #[test]
    fn the_chip_is_the_one_that_all_names_agree_on() {
        let chip = |names: [&'static str; 4]| chip_of("GSP", names);
        assert_eq!(chip(HOPPER), Some(("GH100", "GH100")));
        assert_eq!(chip_of("FSP", HOPPER), None);
        let other = HOPPER.map(|name| name.replace("GH100", "GB202"));
        assert_eq!(chip_of("GSP", [&other[0], &other[1], &other[2], &other[3]]), Some(("GB202", "GB202")));
        for (index, name) in [
            (0, "GH100 A01 FSP FMC LF"),
            (0, "GB100 A01 GSP FMC LF"),
            (0, "GH100 A02 GSP FMC LF"),
            (1, "GH100 A01 GSP FMC LF"),
            (2, "NVIDIA GB100 Provisioner ICA 1"),
            (2, "NVIDIA GH100 Provisioner ICA "),
            (3, "NVIDIA GH100 Identity 2"),
            (3, "NVIDIA gh100 Identity"),
        ] {
            let mut names = HOPPER;
            names[index] = name;
            assert_eq!(chip(names), None, "{name}");
        }
        let switch = ["LS_10 A01 FSP FMC LF", "LS_10 A01 FSP BROM", "NVIDIA LS_10 Provisioner ICA 1", HOPPER[3]];
        assert_eq!(chip_of("FSP", switch), Some(("LS_10", "GH100")));
    }

    #[test]
    fn a_pdi_is_eight_bytes_behind_its_prefix() {
        let pdi = Pdi([0x43, 0x1d, 0x48, 0x0f, 0xe5, 0xe8, 0x72, 0x74]);
        assert_eq!(pdi_of("41", "41431D480FE5E87274"), Some(pdi));
        assert_eq!(pdi_of("50", "50431D480FE5E87274"), Some(pdi));
        for bad in ["", "41", "50431D480FE5E87274", "41431D480FE5E872", "41431D480FE5E8727400", "41431D480FE5E8727G"] {
            assert_eq!(pdi_of("41", bad), None, "{bad}");
        }
    }

    #[test]
    fn dice_fwids_are_read_only_from_their_element_and_algorithm() {
        let entry = |oid: &[u8], digest: &[u8]| der(0x30, &[der(0x06, oid), der(0x04, digest)].concat());
        let sha384 = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
        let sha256 = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
        let tcb_info = |tag: u8, entries: Vec<u8>| der(0x30, &[der(0x80, b"NVIDIA"), der(tag, &entries)].concat());
        let both = [entry(&sha256, &[1; 32]), entry(&sha384, &[2; 48]), entry(&sha384, &[0; 48])].concat();
        assert_eq!(dice_fwid(&tcb_info(0xa6, both.clone())), Some([2; 48]));
        assert_eq!(dice_fwid(&tcb_info(0xa5, both)), None);
        assert_eq!(dice_fwid(&tcb_info(0xa6, entry(&sha256, &[1; 48]))), None);
        assert_eq!(dice_fwid(&tcb_info(0xa6, entry(&sha384, &[1; 32]))), None);
        assert_eq!(dice_fwid(&[0x30, 5, 1]), None);
        assert_eq!((hopper_fwid(&[4; 60]), hopper_fwid(&[4; 47])), (Some([4; 48]), None));
    }

    /// A certificate of this name, with a subject serial number as a BROM has it.
    fn certificate(name: &str, serial_bytes: usize) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CustomDnType(vec![2, 5, 4, 5]), "41431D480FE5E87274");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&vec![0x41; serial_bytes]));
        params.self_signed(&key).unwrap().der().to_vec()
    }

    /// It is printed in decimal, which takes time that grows with the square of its length.
    #[test]
    fn a_leafs_serial_number_has_an_end() {
        let read = |serial_bytes: usize| {
            let leaf = certificate(HOPPER[0], serial_bytes);
            let others = [HOPPER[1], HOPPER[2], HOPPER[3], "root"].map(|name| certificate(name, 20));
            let ders: Vec<Vec<u8>> = std::iter::once(leaf).chain(others).collect();
            read_identity(Part::Gpu, &crate::x509::parse_chain(&ders).unwrap())
        };
        assert_eq!(read(MAX_SERIAL_BYTES).map(|identity| identity.pdi.0[0]), Ok(0x43));
        let Err(NameFailure::Wrong(failure)) = read(MAX_SERIAL_BYTES + 1) else { panic!("it is read") };
        assert_eq!(
            (failure.code, failure.message.as_str()),
            ("gpu-chain-names", "the leaf's serial number is too long")
        );
    }

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let mut bytes = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        bytes.extend(content);
        bytes
    }
}
