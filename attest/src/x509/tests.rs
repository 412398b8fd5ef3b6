use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    RevokedCertParams, SerialNumber,
};
use weighbridge_attest_types::Grade;

use super::*;
use crate::crl::{Current, Listed, RevocationList};

const FROM: u64 = 1_700_000_000;
const UNTIL: u64 = 1_800_000_000;
const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
}

fn params(name: &str, authority: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date(FROM), date(UNTIL));
    params.serial_number = Some(SerialNumber::from(vec![0x91, u8::try_from(name.len()).unwrap()]));
    match authority {
        Some(length) => {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        None => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }
    }
    params
}

/// A simulated chain leaf, authority, root; each step may be changed before it is signed.
struct Pki {
    ders: Vec<Vec<u8>>,
    authority: Issuer<'static, KeyPair>,
}

fn pki(change: impl Fn(&mut [CertificateParams; 3])) -> Pki {
    let mut all = [params("leaf", None), params("authority", Some(0)), params("simulated root", Some(1))];
    change(&mut all);
    let [leaf, authority, root] = all;
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (leaf_key, authority_key, root_key) = (key(), key(), key());
    let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
    let root = Issuer::new(root, root_key);
    let authority_der = authority.signed_by(&authority_key, &root).unwrap().der().to_vec();
    let authority = Issuer::new(authority, authority_key);
    let leaf_der = leaf.signed_by(&leaf_key, &authority).unwrap().der().to_vec();
    Pki { ders: vec![leaf_der, authority_der, root_der], authority }
}

fn path_of<'c, 'a>(
    certificates: &'c [X509Certificate<'c>],
    anchors: &'a [CertificateAnchor],
    window: &mut Window,
) -> Result<TrustedPath<'c, 'a>, Vec<Failure>> {
    check_path(certificates, &check_links(certificates, Curve::P256), anchors, window)
}

fn anchor_of(root: &[u8]) -> CertificateAnchor {
    let (_, root) = X509Certificate::from_der(root).unwrap();
    CertificateAnchor { name: "test".into(), grade: Grade::Simulated, spki_sha256: spki_sha256(&root), der: None }
}

fn codes(ders: &[Vec<u8>], now: UnixMillis) -> Vec<&'static str> {
    let certificates = parse_chain(ders).unwrap();
    let anchors = [anchor_of(ders.last().unwrap())];
    let found = path_of(&certificates, &anchors, &mut Window::new(now));
    found.err().unwrap_or_default().into_iter().map(|failure| failure.code).collect()
}

fn broken(change: impl Fn(&mut [CertificateParams; 3])) -> Vec<&'static str> {
    codes(&pki(change).ders, NOW)
}

#[test]
fn a_good_chain_ends_in_its_anchor_and_bounds_the_window() {
    let pki = pki(|all| all[1].not_after = date(UNTIL - 5));
    let certificates = parse_chain(&pki.ders).unwrap();
    let anchors = [anchor_of(&pki.ders[2])];
    let mut window = Window::new(NOW);
    let path = path_of(&certificates, &anchors, &mut window).unwrap();
    assert_eq!((path.anchor().name.as_str(), path.certificates().len()), ("test", 3));
    assert_eq!(window.until(), UnixMillis((UNTIL - 5) * 1000));
}

#[test]
fn both_ends_of_a_validity_count() {
    let ders = pki(|_| {}).ders;
    assert_eq!(codes(&ders, UnixMillis(FROM * 1000)), [""; 0]);
    assert_eq!(codes(&ders, UnixMillis(UNTIL * 1000)), [""; 0]);
    assert_eq!(codes(&ders, UnixMillis(FROM * 1000 - 1)), ["not-yet-valid"; 3]);
    assert_eq!(codes(&ders, UnixMillis(UNTIL * 1000 + 1)), ["expired"; 3]);
}

#[test]
fn roles_and_path_lengths_are_enforced() {
    assert_eq!(broken(|all| all[1].is_ca = IsCa::ExplicitNoCa), ["certificate-role"]);
    assert_eq!(broken(|all| all[1].key_usages = vec![KeyUsagePurpose::CrlSign]), ["certificate-role"]);
    assert_eq!(broken(|all| all[1].key_usages = vec![]), ["certificate-role"]);
    assert_eq!(broken(|all| all[0].key_usages = vec![KeyUsagePurpose::KeyAgreement]), ["certificate-role"]);
    assert_eq!(broken(|all| all[2].is_ca = IsCa::Ca(BasicConstraints::Constrained(0))), ["path-length"]);
    assert_eq!(broken(|all| all[2].is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), [""; 0]);
    let an_authority = |all: &mut [CertificateParams; 3]| all[0].is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(broken(an_authority), ["certificate-role"]);
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let strange = |critical| {
        move |all: &mut [CertificateParams; 3]| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(critical);
            all[0].custom_extensions = vec![extension];
        }
    };
    assert_eq!(broken(strange(true)), ["certificate-extension"]);
    assert_eq!(broken(strange(false)), [""; 0]);
}

#[test]
fn foreign_links_and_roots_are_refused() {
    let (ours, other) = (pki(|_| {}).ders, pki(|_| {}).ders);
    let mixed = [ours[0].clone(), other[1].clone(), other[2].clone()];
    assert_eq!(codes(&mixed, NOW), ["certificate-signature"]);
    let without = [ours[0].clone(), ours[2].clone()];
    assert_eq!(codes(&without, NOW), ["certificate-issuer", "certificate-signature"]);
    assert_eq!(codes(&ours[2..], NOW), ["chain-length"]);

    let certificates = parse_chain(&ours).unwrap();
    let anchors = [anchor_of(&other[2])];
    let failures = path_of(&certificates, &anchors, &mut Window::new(NOW)).unwrap_err();
    assert_eq!(failures.iter().map(|failure| failure.code).collect::<Vec<_>>(), ["unknown-root"]);
    assert!(path_of(&[], &anchors, &mut Window::new(NOW)).is_err());
}

#[test]
fn another_curve_than_the_vendors_is_refused() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let root = params("root", Some(1)).self_signed(&key).unwrap().der().to_vec();
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    assert!(check_root(&root, Curve::P384, &mut Window::new(NOW)).is_empty());
    let failures = check_root(&root, Curve::P256, &mut Window::new(NOW));
    let codes: Vec<_> = failures.iter().map(|failure| failure.code).collect();
    assert_eq!(codes, ["certificate-algorithm", "certificate-signature"]);
}

#[test]
fn every_bit_of_a_leaf_matters_and_no_truncation_panics() {
    let ders = pki(|_| {}).ders;
    for bit in 0..ders[0].len() * 8 {
        let mut changed = ders.clone();
        changed[0][bit / 8] ^= 1 << (bit % 8);
        let accepted = parse_chain(&changed).is_ok_and(|certificates| {
            let anchors = [anchor_of(&ders[2])];
            path_of(&certificates, &anchors, &mut Window::new(NOW)).is_ok()
        });
        assert!(!accepted, "bit {bit}");
    }
    for length in 0..ders[0].len() {
        assert_eq!(parse_chain(&[ders[0][..length].to_vec()]).unwrap_err().code, "certificate-unreadable");
    }
    let trailing = [&ders[0][..], &[0]].concat();
    assert_eq!(parse_chain(&[trailing]).unwrap_err().code, "certificate-unreadable");
}

fn list(by: &Issuer<'static, KeyPair>, serials: &[u8]) -> Vec<u8> {
    let revoked = |serial: &u8| RevokedCertParams {
        serial_number: SerialNumber::from(vec![0x91, *serial]),
        revocation_time: date(FROM),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date(FROM),
        next_update: date(UNTIL),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(by).unwrap().der().to_vec()
}

fn check_list(pki: &Pki, der: &[u8], now: UnixMillis) -> Result<(RevocationList, Current), Vec<&'static str>> {
    let certificates = parse_chain(&pki.ders).unwrap();
    let list = RevocationList::read(der).ok_or(vec!["unreadable"])?;
    let signature =
        |list: &CertificateRevocationList<'_>, by: &X509Certificate<'_>| is_list_signed(list, by, Curve::P256);
    let current = list.check_named("the list", &certificates[1], signature, now);
    let codes = |failures: Vec<Failure>| failures.into_iter().map(|failure| failure.code).collect::<Vec<_>>();
    Ok((list, current.map_err(codes)?))
}

#[test]
fn a_list_names_what_its_own_authority_revoked() {
    let pki = pki(|_| {});
    let certificates = parse_chain(&pki.ders).unwrap();
    let (list, current) = check_list(&pki, &list(&pki.authority, &[4]), NOW).unwrap();
    assert_eq!(list.says_about(&certificates[0]), Some(Listed::Revoked));
    assert_eq!(list.says_about(&certificates[1]), None);
    assert_eq!(current, Current { from: UnixMillis(FROM * 1000), until: UnixMillis(UNTIL * 1000) });
}

#[test]
fn stale_foreign_forged_and_broken_lists_are_refused() {
    let ours = pki(|_| {});
    let other = pki(|all| all[1].distinguished_name.push(DnType::OrganizationName, "elsewhere"));
    let namesake = pki(|_| {});
    let der = list(&ours.authority, &[]);
    let codes = |der: &[u8], now| check_list(&ours, der, now).err().unwrap_or_default();
    assert_eq!(codes(&der, NOW), [""; 0]);
    assert_eq!(codes(&der, UnixMillis(UNTIL * 1000 + 1)), ["expired"]);
    assert_eq!(codes(&der, UnixMillis(FROM * 1000 - 1)), ["not-yet-valid"]);
    assert_eq!(codes(&list(&other.authority, &[]), NOW), ["crl-issuer", "crl-signature"]);
    assert_eq!(codes(&list(&namesake.authority, &[]), NOW), ["crl-signature"]);
    assert_eq!(codes(&der[..der.len() - 1], NOW), ["unreadable"]);
}

#[test]
fn dates_are_read_as_instants() {
    assert_eq!(parse_date("2025-06-19T10:16:03Z"), Some(UnixMillis(1_750_328_163_000)));
    assert_eq!(parse_date("2025-06-19T12:16:03.9+02:00"), Some(UnixMillis(1_750_328_163_000)));
    assert_eq!((parse_date("1969-12-31T23:59:59Z"), parse_date("yesterday")), (None, None));
    assert_eq!(show(UnixMillis(1_750_328_163_000)), "2025-06-19T10:16:03Z");
}
