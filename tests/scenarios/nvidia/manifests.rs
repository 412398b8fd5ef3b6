//! Reference manifests: attacks on their signature and their values, which one is chosen, and what differs.

use weighbridge_attest::Endorsements;
use weighbridge_tests_simulator::{RimOptions, RimProfile, RimResource};

use super::*;

/// The driver's manifest, signed.
fn signed() -> String {
    let world = World::new(41, NOW);
    world.rim_signer().sign(&world.gpu_rims()[0].content())
}

/// What comes of a driver's manifest with these bytes.
#[track_caller]
fn refused(manifest: impl Into<Vec<u8>>) -> Vec<&'static str> {
    Scene::new().with_driver(manifest).refused()
}

/// The driver's manifest, changed before somebody with the key signed it.
fn signed_after(change: impl FnOnce(String) -> String) -> String {
    let world = World::new(41, NOW);
    world.rim_signer().sign(&change(world.gpu_rims()[0].content()))
}

fn signed_as(change: impl FnOnce(&mut RimProfile)) -> String {
    let world = World::new(41, NOW);
    let mut profile = RimProfile::genuine();
    change(&mut profile);
    world.rim_signer().sign_with(&world.gpu_rims()[0].content(), &profile)
}

/// The signature of a signed text, and the text without it.
fn split(text: &str) -> (&str, String) {
    let (start, end) = (text.find("<ds:Signature ").unwrap(), text.find("</ds:Signature>").unwrap());
    let end = end + "</ds:Signature>".len();
    (&text[start..end], format!("{}{}", &text[..start], &text[end..]))
}

#[test]
fn both_manifests_match_and_bound_the_window() {
    let scene = Scene::new();
    assert_eq!(scene.status(), (ReferenceStatus::Matched, vec![]));
    let values = scene.claims().reference_values;
    // Twenty of the driver without the decoder's, twelve of the VBIOS.
    assert_eq!((values.matched, values.applied.len()), (31, 2));
    assert_eq!(scene.open(), ["gpu-ocsp", "gpu-cc-mode"]);
    let mut short = Scene::new();
    let until = UnixMillis(NOW.0 + DAY);
    let signer = short.world.rim_signer_between(UnixMillis(NOW.0 - DAY), until);
    short.endorsements[0] = signer.rim(&short.world.gpu_rims()[0]);
    assert_eq!(short.verify().unwrap().claims().valid_until, until);
    for (at, codes) in [(until.0, vec![]), (until.0 + 1, vec!["expired"]), (NOW.0 - DAY - 1, vec!["not-yet-valid"])] {
        short.at = UnixMillis(at);
        // The device's own chain begins with the world, a day before.
        let found = short.verify().err().map(|error| error.failures().iter().map(|one| one.code).collect::<Vec<_>>());
        let found = found.unwrap_or_default();
        assert!(found == codes || (at < NOW.0 && found.iter().all(|code| *code == "not-yet-valid")), "{found:?}");
    }
}

#[test]
fn other_spellings_of_the_same_canonical_form_are_the_same_manifest() {
    let text = signed();
    let spaced = text.replace(" active=", "\n\t active = ");
    let quotes = text.replace("type=\"Measurement\"", "type='Measurement'");
    let turned = text.replace(" size=\"48\" type=\"Measurement\"", " type=\"Measurement\" size=\"48\"");
    let closed = text.replace("></ns0:Resource>", "/>");
    let lines = text.replace('\n', "\r\n");
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}\n");
    for (what, spelling) in [
        ("space", spaced),
        ("quotes", quotes),
        ("order", turned),
        ("closed", closed),
        ("lines", lines),
        ("head", declared),
    ] {
        assert_ne!(spelling, text, "{what}");
        let scene = Scene::new().with_driver(spelling);
        assert_eq!(scene.claims(), Scene::new().claims(), "{what}");
    }
}

#[test]
fn a_value_that_was_changed_after_signing_is_refused() {
    let text = signed();
    let digit = text.find("Hash0=\"").unwrap() + 7;
    let mut value = text.clone().into_bytes();
    value[digit] = if value[digit] == b'0' { b'1' } else { b'0' };
    assert_eq!(refused(value), ["rim-signature"]);
    for (from, to) in [
        ("active=\"True\"", "active=\"False\""),
        ("590.12-simulated", "590.13-simulated"),
        ("edition=\"GPU\"", "edition=\"SWITCH\""),
        ("    <ns0:Payload", "   <ns0:Payload"),
        ("<ds:DigestValue>", "<ds:DigestValue>A"),
    ] {
        assert!(matches!(refused(text.replacen(from, to, 1))[..], ["rim-signature" | "rim-profile"]), "{from}");
    }
    // A digest that fits, without the key.
    let forged = text.replacen("active=\"True\"", "active=\"False\"", 1);
    let (_, content) = split(&forged);
    let stranger = World::new(42, NOW).rim_signer();
    let world = World::new(41, NOW);
    let dressed = stranger.with_certificates(world.rim_signer().certificates().to_vec());
    assert_eq!(refused(dressed.sign(&content)), ["rim-signature"]);
    // The stranger's own chain ends elsewhere.
    assert_eq!(refused(stranger.sign(&content)), ["unknown-root"]);
}

#[test]
fn signatures_that_are_moved_doubled_or_filled_are_refused() {
    let text = signed();
    let (signature, content) = split(&text);
    let inside = |mark: &str, what: &str| content.replacen(mark, &format!("{what}{mark}"), 1);
    let wrapped = |name: &str| inside("</SoftwareIdentity>", &format!("<{name}>{signature}</{name}>"));
    let cases = [
        ("in the Payload", inside("</ns0:Payload>", signature)),
        ("in a wrapper", wrapped("ns0:Evidence")),
        ("in a foreign wrapper", wrapped("Evidence")),
        ("twice", text.replacen(signature, &signature.repeat(2), 1)),
        ("an empty one beside", text.replacen(signature, &format!("{signature}<ds:Signature xmlns:ds=\"u\"/>"), 1)),
        ("an unprefixed one beside", text.replacen("</ns0:Payload>", "<Signature/></ns0:Payload>", 1)),
        ("none", content.clone()),
        ("an Object", text.replacen("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object></ds:Object>", 1)),
        ("a key beside", text.replacen("<ds:X509Data>", "<ds:KeyValue></ds:KeyValue><ds:X509Data>", 1)),
        ("an issuer beside", text.replacen("<ds:X509Certificate>", "<ds:X509SKI></ds:X509SKI><ds:X509Certificate>", 1)),
        ("an Id", text.replacen("<ds:Signature ", "<ds:Signature Id=\"s\" ", 1)),
        (
            "two of SignedInfo",
            text.replacen("<ds:SignatureValue>", "<ds:SignedInfo></ds:SignedInfo><ds:SignatureValue>", 1),
        ),
        (
            "another namespace",
            text.replacen("xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"", "xmlns:ds=\"urn:x\"", 1),
        ),
        ("no value", text.replacen("<ds:SignatureValue>", "<ds:SignatureValue>!", 1)),
    ];
    for (what, manifest) in cases {
        assert_eq!(refused(manifest), ["rim-profile"], "{what}");
    }
}

#[test]
fn a_second_document_does_not_hide_behind_a_signed_one() {
    let text = signed();
    let other = signed_after(|content| content.replacen("active=\"True\"", "active=\"False\"", 1));
    let (_, evil) = split(&other);
    let evil_open = evil.strip_suffix("</SoftwareIdentity>").unwrap();
    // The signed document as a child of another: classic wrapping.
    let wrapped = format!("{evil_open}{text}</SoftwareIdentity>");
    assert_eq!(refused(wrapped), ["rim-profile"]);
    let nested = text.replacen("<ns0:Payload", "<ns0:SoftwareIdentity></ns0:SoftwareIdentity><ns0:Payload", 1);
    assert_eq!(refused(nested), ["rim-profile"]);
    assert_eq!(refused(format!("{text}{evil}")), ["rim-xml"]);
    // The signature of one document under another.
    let (signature, _) = split(&text);
    assert_eq!(refused(format!("{evil_open}{signature}</SoftwareIdentity>")), ["rim-signature"]);
}

#[test]
fn dtds_entities_comments_cdata_and_other_encodings_are_refused() {
    let text = signed();
    let value = text.find("colloquialVersion=\"").unwrap() + "colloquialVersion=\"".len();
    let entity = format!("{}&#53;{}", &text[..value], &text[value + 1..]);
    for (what, manifest) in [
        ("a DTD", format!("<!DOCTYPE SoftwareIdentity>{text}")),
        ("an entity", format!("<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{text}")),
        ("a character reference", entity),
        ("a comment", text.replacen("</ns0:Payload>", "<!-- --></ns0:Payload>", 1)),
        ("a comment in a value", text.replacen("</ds:DigestValue>", "<!-- --></ds:DigestValue>", 1)),
        ("CDATA", text.replacen("    </ns0:Payload>", "<![CDATA[    ]]></ns0:Payload>", 1)),
        ("an instruction", text.replacen("</ns0:Payload>", "<?x y?></ns0:Payload>", 1)),
        ("a length", format!("{text}{}", " ".repeat(256 * 1024))),
        ("a prefix without a namespace", text.replacen("<ns0:Entity ", "<ns9:Entity ", 1)),
        (
            "depth",
            text.replacen("</ns0:Payload>", &format!("{}{}</ns0:Payload>", "<a>".repeat(9), "</a>".repeat(9)), 1),
        ),
        ("an attribute twice", text.replacen(" active=", " index=\"0\" active=", 1)),
        (
            "an attribute under two prefixes",
            text.replacen(
                "<ns0:Resource ",
                "<ns0:Resource xmlns:n=\"http://www.w3.org/2001/04/xmlenc#sha384\" n:Hash0=\"\" ",
                1,
            ),
        ),
    ] {
        assert_eq!(refused(manifest), ["rim-xml"], "{what}");
    }
    // What is no text is nobody's manifest.
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = Endorsements::recognise(&[wide, format!("\u{feff}{text}").into_bytes()]);
    assert_eq!(found.unrecognised(), [0, 1]);
}

#[test]
fn another_announcement_is_refused_even_where_it_is_signed() {
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let cases: [(&str, String); 10] = [
        ("URI to an id", signed_as(|profile| profile.uri = "#payload".to_owned())),
        ("URI to a server", signed_as(|profile| profile.uri = "http://x.invalid/".to_owned())),
        ("URI to a root", signed_as(|profile| profile.uri = "#xpointer(/)".to_owned())),
        ("another canonical form", signed_as(|profile| profile.canonicalization = exclusive.to_owned())),
        ("another transform", signed_as(|profile| profile.transforms[1] = exclusive.to_owned())),
        ("no second transform", signed_as(|profile| drop(profile.transforms.pop()))),
        ("the transforms turned", signed_as(|profile| profile.transforms.reverse())),
        ("another digest", signed_as(|profile| profile.digest = "http://www.w3.org/2001/04/xmlenc#sha256".to_owned())),
        (
            "another signature",
            signed_as(|profile| profile.signature = "http://www.w3.org/2000/09/xmldsig#hmac-sha1".to_owned()),
        ),
        (
            "a second reference",
            signed_as(|profile| profile.more = "<ds:Reference URI=\"#x\"></ds:Reference>".to_owned()),
        ),
    ];
    for (what, manifest) in cases {
        assert_eq!(refused(manifest), ["rim-profile"], "{what}");
    }
    let third = signed_as(|profile| profile.transforms.push(exclusive.to_owned()));
    assert_eq!(refused(third), ["rim-profile"]);
}

#[test]
fn values_that_are_signed_and_make_no_manifest_are_refused() {
    let world = World::new(41, NOW);
    let resource = |index: usize| world.gpu_rims()[0].resources[index].text(index);
    let replaced = |from: &str, to: &str| signed_after(|content| content.replacen(from, to, 1));
    let cases = [
        ("an index twice", replaced(&resource(5), &resource(6))),
        ("one more index", replaced("    </ns0:Payload>", &format!("{}    </ns0:Payload>", resource(6)))),
        ("an index too few", replaced(&resource(63), "")),
        ("index 64", replaced("index=\"63\"", "index=\"64\"")),
        ("an index in another spelling", replaced("index=\"7\"", "index=\"07\"")),
        ("more alternatives", replaced("alternatives=\"1\" index=\"7\"", "alternatives=\"2\" index=\"7\"")),
        ("no alternative", replaced("alternatives=\"1\" index=\"7\"", "alternatives=\"0\" index=\"7\"")),
        ("another size", replaced("size=\"48\"", "size=\"32\"")),
        ("a short value", replaced("Hash0=\"00", "Hash0=\"")),
        ("another word", replaced("active=\"True\"", "active=\"true\"")),
        ("another type", replaced("type=\"Measurement\"", "type=\"File\"")),
        ("another edition", replaced("edition=\"GPU\"", "edition=\"CPU\"")),
        ("another name", replaced(" name=\"GH100\"", " name=\"GB100\"")),
        ("another maker", replaced("ManufacturerId=\"5703\"", "ManufacturerId=\"5704\"")),
        ("two of Meta", replaced("    <ns0:Payload", "<ns0:Meta></ns0:Meta>    <ns0:Payload")),
        ("two of Payload", replaced("    <ns0:Payload", "<ns0:Payload></ns0:Payload>    <ns0:Payload")),
        (
            "a Payload of another namespace",
            replaced("<ns0:Payload xmlns:SHA384=\"", "<ns0:Payload xmlns:ns0=\"urn:x\" xmlns:z=\""),
        ),
        ("a version that no id holds", replaced("colloquialVersion=\"590.12", "colloquialVersion=\"590/12")),
    ];
    for (what, manifest) in cases {
        let codes = refused(manifest);
        assert!(matches!(codes[..], ["rim-values"]), "{what}: {codes:?}");
    }
    let mut silent = world.gpu_rims()[0].clone();
    silent.resources.iter_mut().for_each(|resource| resource.active = false);
    assert_eq!(refused(world.rim_signer().rim(&silent)), ["rim-values"]);
}

#[test]
fn the_signers_chain_is_the_one_whose_key_signs() {
    let world = World::new(41, NOW);
    let options = &world.gpu_rims()[0];
    let signer = world.rim_signer();
    let under = |certificates: Vec<Vec<u8>>| refused(signer.with_certificates(certificates).rim(options));
    let all = signer.certificates().to_vec();
    let [leaf, l3, authority, root] = all.clone().try_into().unwrap();
    // The first certificate's key must sign, whatever else stands behind it.
    assert_eq!(under(vec![l3.clone(), leaf.clone(), authority.clone(), root.clone()]), ["rim-signature"]);
    let turned = under(vec![leaf.clone(), authority.clone(), l3.clone(), root.clone()]);
    assert!(turned.contains(&"certificate-issuer") && turned.contains(&"certificate-signature"), "{turned:?}");
    let short = under(vec![leaf.clone(), l3.clone(), authority.clone()]);
    assert!(short.contains(&"rim-chain") && short.contains(&"unknown-root"), "{short:?}");
    let long = under(vec![leaf.clone(), l3.clone(), authority.clone(), root.clone(), root.clone()]);
    assert_eq!(long, ["rim-chain"]);
    assert_eq!(under(vec![leaf, b"junk".to_vec(), authority, root]), ["certificate-unreadable"]);
    // A device's chain signs no manifest.
    let device = world.gpu(0, 0).certificates().to_vec();
    assert_eq!(under(device), ["rim-signature"]);
}

#[test]
fn differences_are_claims_with_their_index_and_an_alternative_is_enough() {
    let world = World::new(41, NOW);
    let with_vbios = |change: &dyn Fn(&mut RimOptions)| {
        let mut options = world.gpu_rims()[1].clone();
        change(&mut options);
        let mut scene = Scene::new();
        scene.endorsements[1] = world.rim_signer().rim(&options);
        scene
    };
    let differs = with_vbios(&|options| {
        options.resources[9].alternatives = vec![[1; 48]];
        options.resources[2].alternatives = vec![[2; 48]];
    });
    assert_eq!(differs.status(), (ReferenceStatus::Mismatch, vec![2, 9]));
    let differences = differs.claims().reference_values.differences;
    assert_eq!((differences[0].known_cause, differences[1].known_cause.is_some()), (None, true));
    assert_eq!(differences[1].allowed, [[1; 48]]);
    let more = with_vbios(&|options| options.resources[9].alternatives.extend([[1; 48], [2; 48]]));
    assert_eq!(more.status().0, ReferenceStatus::Matched);
    let silent = with_vbios(&|options| options.resources[9].active = false);
    assert_eq!(silent.status().0, ReferenceStatus::Matched);
    // An index of both manifests contradicts itself, even where the values agree.
    let both = with_vbios(&|options| options.resources[7] = world.gpu_rims()[0].resources[7].clone());
    assert_eq!(both.refused(), ["rim-index-twice"]);
    // The decoder's index counts unless the report says that it is off.
    let on = Scene::new().with_report(|options| options.nvdec_on = true);
    assert_eq!(on.status(), (ReferenceStatus::Mismatch, vec![35]));
    // A mismatch beside a gap is a mismatch.
    let mut gap = with_vbios(&|options| options.resources[9].alternatives = vec![[1; 48]]);
    gap.endorsements.remove(0);
    assert_eq!(gap.status(), (ReferenceStatus::Mismatch, vec![9]));
    assert!(gap.open().contains(&"gpu-rim".to_owned()));
}

#[test]
fn the_manifest_that_was_signed_last_and_holds_decides() {
    let scene = Scene::new();
    let (world, options) = (&scene.world, &scene.world.gpu_rims()[1]);
    let narrower = {
        let mut options = options.clone();
        options.resources[9].alternatives = vec![[1; 48]];
        options
    };
    let signed = |options: &RimOptions, days_ago: u64| {
        let from = UnixMillis(NOW.0 - days_ago * DAY);
        world.rim_signer_between(from, UnixMillis(NOW.0 + 300 * DAY)).rim(options)
    };
    let judged = |files: Vec<Vec<u8>>| {
        let mut scene = Scene::new();
        scene.endorsements.truncate(1);
        scene.endorsements.extend(files);
        scene.status()
    };
    let matched = (ReferenceStatus::Matched, vec![]);
    let mismatch = (ReferenceStatus::Mismatch, vec![9]);
    // A value that a later manifest took back does not return by handing over the earlier one as well.
    assert_eq!(judged(vec![signed(options, 200), signed(&narrower, 100)]), mismatch);
    assert_eq!(judged(vec![signed(&narrower, 100), signed(options, 200)]), mismatch);
    assert_eq!(judged(vec![signed(options, 100), signed(&narrower, 200)]), matched);
    // One that does not hold, yet or any more, is passed over while another does.
    let ended = world.rim_signer_between(UnixMillis(NOW.0 - 50 * DAY), UnixMillis(NOW.0 - 1)).rim(&narrower);
    assert_eq!(judged(vec![ended.clone(), signed(options, 100)]), matched);
    let mut alone = Scene::new();
    alone.endorsements[1] = ended;
    assert_eq!(alone.refused(), ["expired"]);
    // A stranger's manifest of this version is passed over too, and alone it is refused.
    let stranger = World::new(42, NOW).rim_signer().rim(&narrower);
    assert_eq!(judged(vec![stranger.clone(), signed(options, 100)]), matched);
    alone.endorsements[1] = stranger;
    assert_eq!(alone.refused(), ["unknown-root"]);
    let many: Vec<Vec<u8>> = (0..9).map(|days| signed(options, 100 + days)).collect();
    alone.endorsements.truncate(1);
    alone.endorsements.extend(many);
    assert_eq!(alone.refused(), ["rim-too-many"]);
}

#[test]
fn manifests_of_something_else_are_refused_where_they_leave_a_gap() {
    let world = World::new(41, NOW);
    let signer = world.rim_signer();
    let of = |change: &dyn Fn(&mut RimOptions)| {
        let mut options = world.gpu_rims()[0].clone();
        change(&mut options);
        signer.rim(&options)
    };
    let version = of(&|options| options.version = "590.13-simulated".to_owned());
    let product = of(&|options| options.product = "GB100".to_owned());
    let edition = of(&|options| options.edition = "SWITCH".to_owned());
    assert_eq!(refused(version.clone()), ["rim-version"]);
    assert_eq!(refused(product.clone()), ["rim-product"]);
    assert_eq!(refused(edition), ["rim-product"]);
    assert_eq!(refused(signer.rim(&world.switch_rim())), ["rim-product"]);
    // Beside the right ones they are a neighbour's.
    let beside = Scene::new().and(version.clone()).and(product);
    assert_eq!(beside.status().0, ReferenceStatus::Matched);
    // The VBIOS's version is compared without case; the same bytes twice are one manifest.
    let mut lower = world.gpu_rims()[1].clone();
    lower.version = lower.version.to_lowercase();
    let mut scene = Scene::new().and(Scene::new().endorsements[0].clone());
    scene.endorsements[1] = signer.rim(&lower);
    assert_eq!(scene.status().0, ReferenceStatus::Matched);
    // Firmware whose words make no id, or that reports no version, has no manifest.
    for driver in ["590 12", ""] {
        let odd = Scene::new().with_report(|options| options.driver_version = driver.to_owned());
        assert_eq!(odd.refused(), ["rim-version"], "{driver:?}");
        let mut odd = Scene::new().with_report(|options| options.driver_version = driver.to_owned());
        odd.endorsements.clear();
        assert_eq!(odd.claims().reference_values.missing[0].id, None);
    }
}

#[test]
fn many_alternatives_are_read_and_too_many_are_not() {
    let world = World::new(41, NOW);
    let with = |count: usize| {
        let mut options = world.gpu_rims()[0].clone();
        let honest = options.resources[7].alternatives[0];
        let mut alternatives = vec![[9; 48]; count - 1];
        alternatives.push(honest);
        options.resources[7] = RimResource { active: true, alternatives };
        world.rim_signer().rim(&options)
    };
    assert_eq!(Scene::new().with_driver(with(16)).status().0, ReferenceStatus::Matched);
    assert_eq!(refused(with(17)), ["rim-values"]);
}
