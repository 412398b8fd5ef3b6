use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use serde_json::{Value, json};

use super::*;

fn root_pem(algorithm: &'static SignatureAlgorithm, is_ca: IsCa) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = is_ca;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let der = params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(der.der());
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

fn authority() -> IsCa {
    IsCa::Ca(BasicConstraints::Unconstrained)
}

fn intel_file() -> Value {
    json!({
        "format": FORMAT, "name": "simulated Intel root", "grade": "simulated", "kind": "intel-sgx-root",
        "certificate_pem": root_pem(&PKCS_ECDSA_P256_SHA256, authority()),
    })
}

fn parse(file: &Value, into: &mut TrustAnchors) -> Result<(), AnchorFileError> {
    parse_anchor_file(file.to_string().as_bytes(), into)
}

fn refused(change: impl Fn(&mut Value)) -> AnchorFileError {
    let mut file = intel_file();
    change(&mut file);
    let mut anchors = built_in_anchors();
    let error = parse(&file, &mut anchors).unwrap_err();
    assert_eq!(anchors, built_in_anchors(), "a refused file must change nothing");
    assert_eq!(error.culprit(), Culprit::Usage);
    error
}

#[test]
fn built_in_roots_are_attested_and_no_time_authority_is_built_in() {
    let anchors = built_in_anchors();
    let nvidia = anchors.nvidia_device.iter().chain(&anchors.nvidia_rim);
    let certified = anchors.intel.iter().chain(nvidia).chain(&anchors.amd);
    assert!(certified.clone().all(|anchor| anchor.grade == Grade::Attested) && certified.count() == 6);
    let pins = [&anchors.intel[0], &anchors.nvidia_device[0], &anchors.nvidia_rim[0]];
    let pins = pins.map(|anchor| anchor.spki_sha256.to_string());
    assert_eq!(pins[0], "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e");
    assert_eq!(pins[1], "a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4");
    assert_eq!(pins[2], "dec1dc316477aa851eebdf51327ae9f864bc8d89254657ed1e7eb9168af1e1a3");
    let counts = (anchors.intel.len(), anchors.nvidia_device.len(), anchors.nvidia_rim.len(), anchors.time.len());
    assert_eq!(counts, (1, 1, 1, 0));
    let amd: Vec<String> = anchors.amd.iter().map(|anchor| anchor.spki_sha256.to_string()).collect();
    assert_eq!(
        amd,
        [
            "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
            "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
            "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
        ]
    );
}

#[test]
fn each_kind_of_file_adds_one_simulated_anchor() {
    let mut anchors = built_in_anchors();
    parse(&intel_file(), &mut anchors).unwrap();
    let mut nvidia = intel_file();
    nvidia["kind"] = json!("nvidia-device-root");
    nvidia["name"] = json!("simulated NVIDIA root");
    nvidia["certificate_pem"] = json!(root_pem(&PKCS_ECDSA_P384_SHA384, authority()));
    parse(&nvidia, &mut anchors).unwrap();
    // The root for reference values is a kind of its own, whatever its key.
    nvidia["kind"] = json!("nvidia-rim-root");
    nvidia["name"] = json!("simulated RIM root");
    parse(&nvidia, &mut anchors).unwrap();
    let time = json!({ "format": FORMAT, "name": "clock", "grade": "simulated", "kind": "time-authority", "key": "07".repeat(32) });
    parse(&time, &mut anchors).unwrap();
    let added = [
        (&anchors.intel[1], "simulated Intel root"),
        (&anchors.nvidia_device[1], "simulated NVIDIA root"),
        (&anchors.nvidia_rim[1], "simulated RIM root"),
    ];
    for (added, name) in added {
        assert_eq!((added.grade, added.name.as_str()), (Grade::Simulated, name));
        assert!(added.der.is_some());
    }
    let clock = TimeAnchor { name: "clock".into(), grade: Grade::Simulated, key: Digest32([7; 32]) };
    assert_eq!(anchors.time, [clock]);
}

#[test]
fn a_file_can_lend_no_other_grade() {
    for grade in ["attested", "counter", "declared"] {
        let error = refused(|file| file["grade"] = json!(grade));
        assert!(matches!(error, AnchorFileError::Grade(ref error) if error.grade.as_str() == grade), "{error}");
    }
}

#[test]
fn unknown_fields_formats_and_shapes_are_refused() {
    type Change = fn(&mut Value);
    let changes: [Change; 6] = [
        |file| file["extra"] = json!(1),
        |file| file["format"] = json!("weighbridge/trust-anchor/v2"),
        |file| file["grade"] = json!("gold"),
        |file| file["kind"] = json!("arm-root"),
        |file| file["key"] = json!("07".repeat(32)),
        |file| file["kind"] = json!("time-authority"),
    ];
    for change in changes {
        let error = refused(change);
        assert!(matches!(error, AnchorFileError::Format(_)), "{error}");
    }
    let long = vec![b' '; MAX_ANCHOR_FILE_BYTES + 1];
    assert!(matches!(parse_anchor_file(&long, &mut built_in_anchors()), Err(AnchorFileError::Format(_))));
}

#[test]
fn certificates_that_cannot_anchor_the_kind_are_refused() {
    let two = root_pem(&PKCS_ECDSA_P256_SHA256, authority()).repeat(2);
    let of_another_curve = root_pem(&PKCS_ECDSA_P384_SHA384, authority());
    let no_authority = root_pem(&PKCS_ECDSA_P256_SHA256, IsCa::ExplicitNoCa);
    for pem in [two, of_another_curve, no_authority, "no certificate".to_owned(), String::new()] {
        let error = refused(|file| file["certificate_pem"] = json!(pem));
        assert!(matches!(error, AnchorFileError::Anchor { .. }), "{error}");
    }
}

#[test]
fn one_key_cannot_be_trusted_twice() {
    let mut anchors = built_in_anchors();
    let mut file = intel_file();
    parse(&file, &mut anchors).unwrap();
    file["name"] = json!("another name");
    let (name, earlier) = ("another name".to_owned(), "simulated Intel root".to_owned());
    assert_eq!(parse(&file, &mut anchors), Err(AnchorFileError::Repeated { name, earlier }));
    assert_eq!(anchors.intel.len(), 2);
}

#[test]
fn names_are_printable_ascii() {
    let long = "a".repeat(MAX_ANCHOR_NAME_BYTES + 1);
    for name in ["", " ", " a", "a ", "a\u{1b}[2J", "a\n", "a\u{7f}", "\u{41a}orp", "a\u{202e}b", &long] {
        let error = refused(|file| file["name"] = json!(name));
        assert_eq!(error, AnchorFileError::Name { name: name.escape_default().to_string() });
        assert!(error.to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{error}");
    }
    for name in ["a", "a b", "~!", &"a".repeat(MAX_ANCHOR_NAME_BYTES)] {
        let mut file = intel_file();
        file["name"] = json!(name);
        assert_eq!(parse(&file, &mut built_in_anchors()), Ok(()), "{name}");
    }
}

#[test]
fn one_name_is_one_anchor_of_any_kind() {
    for name in ["Intel SGX Root CA", "NVIDIA Device Identity CA", "intel sgx root ca"] {
        let error = refused(|file| file["name"] = json!(name));
        assert_eq!(error, AnchorFileError::NameRepeated { name: name.to_owned() });
    }
    let mut anchors = built_in_anchors();
    let clock = |key: u8| {
        let key = hex::encode([key; 32]);
        json!({ "format": FORMAT, "name": "clock", "grade": "simulated", "kind": "time-authority", "key": key })
    };
    parse(&clock(7), &mut anchors).unwrap();
    let repeated = Err(AnchorFileError::NameRepeated { name: "clock".to_owned() });
    assert_eq!(parse(&clock(8), &mut anchors), repeated);
    let mut root = intel_file();
    root["name"] = json!("clock");
    assert_eq!(parse(&root, &mut anchors), repeated);
    assert_eq!((anchors.time.len(), anchors.intel.len()), (1, 1));
}

#[test]
fn a_timestamp_root_has_no_restriction_that_is_not_understood() {
    let judged = |extensions: &[(u64, bool)]| {
        let mut params = CertificateParams::default();
        params.is_ca = authority();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.custom_extensions = extensions
            .iter()
            .map(|&(last, critical)| {
                let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, last], vec![5, 0]);
                extension.set_criticality(critical);
                extension
            })
            .collect();
        let der = params.self_signed(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(der.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        let file = json!({
            "format": FORMAT, "name": "root", "grade": "simulated", "kind": "timestamp-authority-root",
            "certificate_pem": pem,
        });
        let mut anchors = built_in_anchors();
        parse(&file, &mut anchors).map(|()| anchors.timestamp.len())
    };
    let refused = |oid: &str| {
        let why = format!("its extension {oid} is repeated, or critical and not understood");
        Err(AnchorFileError::Anchor { name: "root".to_owned(), why })
    };
    assert_eq!(judged(&[(7, false), (8, false)]), Ok(1));
    assert_eq!(judged(&[(7, false), (8, true)]), refused("1.3.6.1.8"));
    assert_eq!(judged(&[(7, false), (7, false)]), refused("1.3.6.1.7"));
}
