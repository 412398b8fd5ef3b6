//! **Duty.** Beacon chains as anchors: the two of this release, and those that a file names. A chain's hash is
//! recomputed from its parameters, so that key, first instant and period cannot be other than the hash says.
//! **Does not know** BLS (appraisal). **Spec.** drand `chain.Info.Hash` and `/info`.

use serde::{Deserialize, Serialize};
use weighbridge_attest_types::{BeaconAnchor, BeaconScheme, Digest32, Grade, sha256};

use super::{AnchorFile, AnchorFileError};

/// The beacon that drand calls default; its id is not hashed.
const DEFAULT_ID: &str = "default";
/// Longest beacon id: what fits a printed line.
const MAX_ID_BYTES: usize = 64;
/// Of a compressed point: it is compressed, and not at infinity, under which every message would be signed.
const FLAGS: u8 = 0xc0;
const COMPRESSED: u8 = 0x80;

/// All that a chain's hash covers, and how it signs.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainFile {
    chain_hash: Digest32,
    public_key: String,
    genesis_seconds: u64,
    period_seconds: u32,
    group_hash: Digest32,
    beacon_id: String,
    scheme: String,
}

/// League of Entropy "quicknet", round 1 at 2023-08-23T15:09:27Z, every 3 s.
const QUICKNET_HASH: Digest32 = Digest32([
    0x52, 0xdb, 0x9b, 0xa7, 0x0e, 0x0c, 0xc0, 0xf6, 0xea, 0xf7, 0x80, 0x3d, 0xd0, 0x74, 0x47, 0xa1, 0xf5, 0x47, 0x77,
    0x35, 0xfd, 0x3f, 0x66, 0x17, 0x92, 0xba, 0x94, 0x60, 0x0c, 0x84, 0xe9, 0x71,
]);
const QUICKNET_KEY: [u8; 96] = [
    0x83, 0xcf, 0x0f, 0x28, 0x96, 0xad, 0xee, 0x7e, 0xb8, 0xb5, 0xf0, 0x1f, 0xca, 0xd3, 0x91, 0x22, 0x12, 0xc4, 0x37,
    0xe0, 0x07, 0x3e, 0x91, 0x1f, 0xb9, 0x00, 0x22, 0xd3, 0xe7, 0x60, 0x18, 0x3c, 0x8c, 0x4b, 0x45, 0x0b, 0x6a, 0x0a,
    0x6c, 0x3a, 0xc6, 0xa5, 0x77, 0x6a, 0x2d, 0x10, 0x64, 0x51, 0x0d, 0x1f, 0xec, 0x75, 0x8c, 0x92, 0x1c, 0xc2, 0x2b,
    0x0e, 0x17, 0xe6, 0x3a, 0xaf, 0x4b, 0xcb, 0x5e, 0xd6, 0x63, 0x04, 0xde, 0x9c, 0xf8, 0x09, 0xbd, 0x27, 0x4c, 0xa7,
    0x3b, 0xab, 0x4a, 0xf5, 0xa6, 0xe9, 0xc7, 0x6a, 0x4b, 0xc0, 0x9e, 0x76, 0xea, 0xe8, 0x99, 0x1e, 0xf5, 0xec, 0xe4,
    0x5a,
];

/// League of Entropy main network, chained, round 1 at 2020-07-22T15:17:30Z, every 30 s.
const MAINNET_HASH: Digest32 = Digest32([
    0x89, 0x90, 0xe7, 0xa9, 0xaa, 0xed, 0x2f, 0xfe, 0xd7, 0x3d, 0xbd, 0x70, 0x92, 0x12, 0x3d, 0x6f, 0x28, 0x99, 0x30,
    0x54, 0x0d, 0x76, 0x51, 0x33, 0x62, 0x25, 0xdc, 0x17, 0x2e, 0x51, 0xb2, 0xce,
]);
const MAINNET_KEY: [u8; 48] = [
    0x86, 0x8f, 0x00, 0x5e, 0xb8, 0xe6, 0xe4, 0xca, 0x0a, 0x47, 0xc8, 0xa7, 0x7c, 0xea, 0xa5, 0x30, 0x9a, 0x47, 0x97,
    0x8a, 0x7c, 0x71, 0xbc, 0x5c, 0xce, 0x96, 0x36, 0x6b, 0x5d, 0x7a, 0x56, 0x99, 0x37, 0xc5, 0x29, 0xee, 0xda, 0x66,
    0xc7, 0x29, 0x37, 0x84, 0xa9, 0x40, 0x28, 0x01, 0xaf, 0x31,
];

/// Both public networks of the League of Entropy that sign in a way we read.
pub(super) fn built_in() -> Vec<BeaconAnchor> {
    let grade = Grade::Attested;
    vec![
        BeaconAnchor {
            name: "drand quicknet".to_owned(),
            grade,
            chain_hash: QUICKNET_HASH,
            public_key: QUICKNET_KEY.to_vec(),
            genesis_seconds: 1_692_803_367,
            period_seconds: 3,
            scheme: BeaconScheme::UnchainedG1,
        },
        BeaconAnchor {
            name: "drand mainnet".to_owned(),
            grade,
            chain_hash: MAINNET_HASH,
            public_key: MAINNET_KEY.to_vec(),
            genesis_seconds: 1_595_431_050,
            period_seconds: 30,
            scheme: BeaconScheme::Chained,
        },
    ]
}

/// Adds the chain of a file.
pub(super) fn add(file: AnchorFile, into: &mut Vec<BeaconAnchor>) -> Result<(), AnchorFileError> {
    let AnchorFile { name, grade, certificate_pem: None, key: None, chain: Some(chain), .. } = file else {
        let shape = "a drand chain has `chain` and neither `certificate_pem` nor `key`";
        return Err(AnchorFileError::Format(shape.to_owned()));
    };
    let (scheme, public_key) =
        read_chain(&chain).map_err(|why| AnchorFileError::Anchor { name: name.clone(), why: why.to_owned() })?;
    let ChainFile { chain_hash, genesis_seconds, period_seconds, .. } = chain;
    let same = |earlier: &&BeaconAnchor| earlier.chain_hash == chain_hash || earlier.public_key == public_key;
    if let Some(earlier) = into.iter().find(same) {
        return Err(AnchorFileError::Repeated { name, earlier: earlier.name.clone() });
    }
    into.push(BeaconAnchor { name, grade, chain_hash, public_key, genesis_seconds, period_seconds, scheme });
    Ok(())
}

fn read_chain(chain: &ChainFile) -> Result<(BeaconScheme, Vec<u8>), &'static str> {
    let schemes = [BeaconScheme::Chained, BeaconScheme::UnchainedG1];
    let scheme = schemes.into_iter().find(|scheme| scheme.as_str() == chain.scheme);
    let scheme = scheme.ok_or("its `scheme` is neither pedersen-bls-chained nor bls-unchained-g1-rfc9380")?;
    let key = hex::decode(&chain.public_key).map_err(|_| "its `public_key` is not hex")?;
    let is_point = key.first().is_some_and(|first| first & FLAGS == COMPRESSED);
    if key.len() != scheme.key_bytes() || !is_point {
        return Err("its `public_key` is not a compressed point of the scheme's group");
    }
    if chain.period_seconds == 0 || i64::try_from(chain.genesis_seconds).is_err() {
        return Err("its `period_seconds` or `genesis_seconds` is no time");
    }
    if chain.beacon_id.len() > MAX_ID_BYTES {
        return Err("its `beacon_id` is too long");
    }
    match chain_hash(chain, &key) == chain.chain_hash {
        true => Ok((scheme, key)),
        false => Err("its `chain_hash` is not the hash of its parameters"),
    }
}

/// SHA-256 over period and first instant, big-endian, group key, hash of the group, and the id unless it is the
/// default one.
fn chain_hash(chain: &ChainFile, key: &[u8]) -> Digest32 {
    let id = match chain.beacon_id.as_str() {
        DEFAULT_ID => "",
        id => id,
    };
    let (period, genesis) = (chain.period_seconds.to_be_bytes(), chain.genesis_seconds.to_be_bytes());
    sha256(&[&period[..], &genesis, key, &chain.group_hash.0, id.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::anchors::{FORMAT, built_in_anchors, parse_anchor_file};

    /// What `/info` says of both networks beside what is pinned: hash of the group, id.
    const GROUPS: [(&str, &str); 2] = [
        ("f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e", "quicknet"),
        ("176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a", "default"),
    ];

    fn file(at: usize, name: &str) -> Value {
        let (BeaconAnchor { chain_hash, public_key, genesis_seconds, period_seconds, scheme, .. }, (group_hash, id)) =
            (built_in().remove(at), GROUPS[at]);
        let chain = json!({
            "chain_hash": chain_hash, "public_key": hex::encode(public_key), "genesis_seconds": genesis_seconds,
            "period_seconds": period_seconds, "group_hash": group_hash, "beacon_id": id, "scheme": scheme.as_str(),
        });
        json!({ "format": FORMAT, "name": name, "grade": "simulated", "kind": "drand-chain", "chain": chain })
    }

    fn parse(file: &Value, into: &mut weighbridge_attest_types::TrustAnchors) -> Result<(), AnchorFileError> {
        parse_anchor_file(file.to_string().as_bytes(), into)
    }

    #[test]
    fn the_well_known_hashes_cover_all_that_is_pinned() {
        for at in 0..2 {
            let mut anchors = weighbridge_attest_types::TrustAnchors::default();
            parse(&file(at, "a beacon"), &mut anchors).unwrap();
            let pinned = BeaconAnchor { name: "a beacon".into(), grade: Grade::Simulated, ..built_in().remove(at) };
            assert_eq!(anchors.beacons, [pinned]);
        }
    }

    #[test]
    fn a_chain_that_differs_from_its_hash_in_anything_is_refused() {
        for (field, other) in [
            ("period_seconds", json!(4)),
            ("genesis_seconds", json!(1_692_803_368)),
            ("group_hash", json!("00".repeat(32))),
            ("beacon_id", json!("default")),
            ("chain_hash", json!("00".repeat(32))),
            ("public_key", json!(hex::encode([0x80; 96]))),
        ] {
            let mut changed = file(0, "a beacon");
            changed["chain"][field] = other;
            let refused = parse(&changed, &mut Default::default()).unwrap_err();
            assert_eq!(refused.to_string(), "anchor `a beacon`: its `chain_hash` is not the hash of its parameters");
        }
    }

    #[test]
    fn chains_that_make_no_sense_are_refused() {
        for (field, other, why) in [
            ("public_key", json!(hex::encode([0xc0; 96])), "not a compressed point"),
            ("public_key", json!(hex::encode([0x80; 48])), "not a compressed point"),
            ("public_key", json!("zz"), "not hex"),
            ("period_seconds", json!(0), "is no time"),
            ("genesis_seconds", json!(u64::MAX), "is no time"),
            ("scheme", json!("bls-unchained-on-g1"), "neither pedersen-bls-chained"),
            ("beacon_id", json!("a".repeat(65)), "too long"),
            ("extra", json!(1), "unknown field `extra`"),
        ] {
            let mut changed = file(0, "a beacon");
            changed["chain"][field] = other;
            let refused = parse(&changed, &mut Default::default()).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let mut with_key = file(0, "a beacon");
        with_key["key"] = json!("07".repeat(32));
        assert!(matches!(parse(&with_key, &mut Default::default()), Err(AnchorFileError::Format(_))));
    }

    #[test]
    fn a_built_in_chain_cannot_be_trusted_twice() {
        let repeated = parse(&file(0, "another name"), &mut built_in_anchors());
        let (name, earlier) = ("another name".to_owned(), "drand quicknet".to_owned());
        assert_eq!(repeated, Err(AnchorFileError::Repeated { name, earlier }));
    }
}
