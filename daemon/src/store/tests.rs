use std::os::unix::fs::PermissionsExt;

use weighbridge_attest_types::{Culprit, Digest32, Signature64, UnixMillis};

use super::disk::{Disk, Fault};
use super::*;

const SECRETS_1: NodeSecrets = NodeSecrets { seed: [1; 32], salt_secret: [2; 32] };

fn nonce(byte: u8) -> SignedNonce {
    let digest = Digest32([byte; 32]);
    SignedNonce { authority: digest, issued: UnixMillis(5), nonce: digest, signature: Signature64([byte; 64]) }
}

#[test]
fn folder_and_file_are_their_owners_alone_and_rows_outlive_the_process() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let store = Store::open(&folder).unwrap();
    let generation = store.begin_generation(NodeKey([3; 32]), [4; 16], SECRETS_1).unwrap();
    let round = BeaconToken::new(Digest32([1; 32]), 7, Vec::new(), vec![0x80; 48]).unwrap();
    let answered = ChallengeRequest::Beacon(round.clone());
    store.keep(1, &[Row::KeyQuote { set: b"first", answered: &answered }]).unwrap();
    assert_eq!((store.beacon(1).unwrap(), store.nonce(1).unwrap()), (Some(round), None));
    let answered = ChallengeRequest::Nonce(nonce(9));
    store.keep(1, &[Row::KeyQuote { set: b"set", answered: &answered }]).unwrap();
    let stamp = TimestampResponse::new(vec![0x30, 1, 5]).unwrap();
    assert!(!store.is_closed(1).unwrap());
    store.keep(1, &[Row::Timestamp(&stamp)]).unwrap();
    store.keep(1, &[Row::Evidence { index: 12, set: b"later" }, Row::Evidence { index: 3, set: b"early" }]).unwrap();
    drop(store);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(FILE_NAME))), (0o700, 0o600));
    let store = Store::open_existing(&folder).unwrap();
    assert_eq!(store.generations().unwrap(), [generation]);
    assert_eq!(store.secrets(1).unwrap(), Some(SECRETS_1));
    assert_eq!(store.key_evidence(1).unwrap().as_deref(), Some(&b"set"[..]));
    assert_eq!((store.nonce(1).unwrap(), store.beacon(1).unwrap()), (Some(nonce(9)), None));
    assert_eq!((store.timestamp(1).unwrap(), store.is_closed(1).unwrap()), (Some(stamp), true));
    assert_eq!(store.evidence(1).unwrap(), [(3, b"early".to_vec()), (12, b"later".to_vec())]);
    assert_eq!(store.evidence(2).unwrap(), []);
}

#[test]
fn a_new_generation_erases_the_secrets_of_the_old_one_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.begin_generation(NodeKey([3; 32]), [4; 16], SECRETS_1).unwrap();
    store.keep(1, &[Row::Evidence { index: 3, set: b"kept" }]).unwrap();
    let second = NodeSecrets { seed: [5; 32], salt_secret: [6; 32] };
    assert_eq!(store.begin_generation(NodeKey([7; 32]), [8; 16], second).unwrap().number, 2);
    assert_eq!(store.secrets(1).unwrap(), None);
    assert_eq!(store.secrets(2).unwrap(), Some(second));
    assert_eq!(store.evidence(1).unwrap().len(), 1);
}

#[test]
fn a_folder_in_use_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let _held = Store::open(folder.path()).unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    let expected = format!("the state folder {} is in use by another weighbridged", folder.path().display());
    assert_eq!(refused.to_string(), expected);
    assert_eq!(refused.culprit(), Culprit::Usage);
    assert_eq!(refused.remedy(), "stop the other one, or give each its own `state_dir`");
}

#[test]
fn a_folder_that_others_can_write_to_and_one_without_a_node_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Store::open_existing(folder.path()).unwrap_err().code(), "state-absent");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    assert!(refused.to_string().ends_with("can be written to by others (mode 770)"), "{refused}");
}

fn on(disk: &Disk) -> Store {
    Store::on(disk, Path::new("/simulated")).unwrap()
}

/// Rows of many sizes: within one page of the file, and over several.
fn row(seed: u64, index: u64) -> Vec<u8> {
    let length = (seed.wrapping_mul(97).wrapping_add(index.wrapping_mul(1_013)) % 9_000) as usize;
    (0..length).map(|at| (seed ^ index ^ at as u64).to_le_bytes()[0]).collect()
}

/// Each kind of fault in turn.
fn fault(seed: u64) -> Fault {
    Fault::ALL[usize::try_from(seed).unwrap() % Fault::ALL.len()]
}

#[test]
fn a_full_disk_is_an_error_and_what_was_kept_before_stays() {
    let disk = Disk::new(1);
    let store = on(&disk);
    store.keep(1, &[Row::Evidence { index: 1, set: b"before" }]).unwrap();
    disk.break_after(0, Fault::Full);
    let refused = store.keep(1, &[Row::Evidence { index: 2, set: &[0; 100_000] }]).unwrap_err();
    assert_eq!(refused.to_string(), "the state folder /simulated could not be written: the disk is full");
    assert_eq!((refused.culprit(), refused.code()), (Culprit::Unavailable, "disk-full"));
    assert_eq!(store.kept_bytes(), 6);
    drop(store);
    disk.cut();
    assert_eq!(on(&disk).evidence(1).unwrap(), [(1, b"before".to_vec())]);
}

#[test]
fn a_disk_that_only_reads_is_told_from_a_full_one() {
    let disk = Disk::new(2);
    let store = on(&disk);
    disk.break_after(0, Fault::ReadOnly);
    let refused = store.keep(1, &[Row::Evidence { index: 2, set: b"x" }]).unwrap_err();
    assert_eq!((refused.culprit(), refused.code()), (Culprit::Unavailable, "disk-read-only"));
}

/// Writes that tear at any sector, syncs that fail and lose what they were for, full and read-only disks, each at another
/// moment: what was acknowledged is there, what was not is there whole or not at all, and the secrets go with it.
#[test]
fn no_acknowledged_row_is_lost_to_a_disk_that_fails() {
    let (mut kept_whole, mut lost) = (0, 0);
    for seed in 0..400 {
        let disk = Disk::new(seed);
        let store = on(&disk);
        store.begin_generation(NodeKey([3; 32]), [4; 16], SECRETS_1).unwrap();
        disk.break_after(seed % 97, fault(seed));
        let mut acknowledged = 0;
        while acknowledged < 40 {
            let set = row(seed, acknowledged + 1);
            if store.keep(1, &[Row::Evidence { index: acknowledged + 1, set: &set }]).is_err() {
                assert!(store.keep(1, &[Row::Evidence { index: 99, set: b"later" }]).is_err(), "seed {seed}");
                break;
            }
            acknowledged += 1;
        }
        drop(store);
        disk.cut();
        let store = on(&disk);
        let found = store.evidence(1).unwrap();
        let expected = (1..).map(|index| (index, row(seed, index)));
        assert!(found.iter().cloned().eq(expected.take(found.len())), "seed {seed}: a row that was never written");
        assert!(
            (acknowledged..=acknowledged + 1).contains(&(found.len() as u64)),
            "seed {seed}: {acknowledged} acknowledged"
        );
        if found.len() as u64 > acknowledged {
            kept_whole += 1
        } else {
            lost += 1
        }
        assert_eq!(store.secrets(1).unwrap(), Some(SECRETS_1), "seed {seed}");
        assert_eq!(store.kept_bytes(), found.iter().map(|(_, set)| set.len() as u64).sum::<u64>());
        store.keep(1, &[Row::Evidence { index: 100, set: b"on it goes" }]).unwrap();
    }
    assert!(
        kept_whole > 0 && lost > 0,
        "the faults strike before and after the moment of the commit: {kept_whole}, {lost}"
    );
}

/// A new key with its secrets, and the end of the old ones, are one transaction.
#[test]
fn secrets_and_their_generation_come_and_go_together() {
    let second = NodeSecrets { seed: [5; 32], salt_secret: [6; 32] };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..120 {
        let disk = Disk::new(seed);
        let store = on(&disk);
        store.begin_generation(NodeKey([3; 32]), [4; 16], SECRETS_1).unwrap();
        disk.break_after(seed % 30, fault(seed));
        let begun = store.begin_generation(NodeKey([7; 32]), [8; 16], second).is_ok();
        drop(store);
        disk.cut();
        let store = on(&disk);
        let generations = store.generations().unwrap().len();
        let secrets = (store.secrets(1).unwrap(), store.secrets(2).unwrap());
        let expected = if generations == 1 { (Some(SECRETS_1), None) } else { (None, Some(second)) };
        assert_eq!(secrets, expected, "seed {seed}");
        assert!(!begun || generations == 2, "seed {seed}: an acknowledged key is lost");
        seen.insert(generations);
    }
    assert_eq!(seen, [1, 2].into());
}

#[test]
fn a_file_that_is_no_database_is_an_error_and_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE_NAME), [7; 8192]).unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    assert!(matches!(refused.code(), "state-failed"), "{refused:?}");
}
