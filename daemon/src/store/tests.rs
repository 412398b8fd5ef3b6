use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use weighbridge_attest_types::{Culprit, Digest32, Signature64, UnixMillis};

use super::*;

const SECRETS_1: NodeSecrets = NodeSecrets { seed: [1; 32], salt_secret: [2; 32] };

/// A disk that fills up when the test says so.
#[derive(Debug)]
struct FillingDisk {
    memory: InMemoryBackend,
    full: Arc<AtomicBool>,
}

impl FillingDisk {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl StorageBackend for FillingDisk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.memory.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.memory.write(offset, data)
    }
}

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

#[test]
fn a_full_disk_is_an_error_and_what_was_kept_before_stays() {
    let full = Arc::new(AtomicBool::new(false));
    let disk = FillingDisk { memory: InMemoryBackend::new(), full: Arc::clone(&full) };
    let database = builder().create_with_backend(disk).unwrap();
    let store = Store::ready(database, Path::new("/simulated")).unwrap();
    store.keep(1, &[Row::Evidence { index: 1, set: b"before" }]).unwrap();
    full.store(true, Ordering::SeqCst);
    let refused = store.keep(1, &[Row::Evidence { index: 2, set: &[0; 100_000] }]).unwrap_err();
    assert_eq!(refused.to_string(), "the state folder /simulated could not be written: the disk is full");
    assert_eq!((refused.culprit(), refused.code()), (Culprit::Unavailable, "disk-full"));
    let rows = store.evidence(1);
    assert!(rows.is_err() || rows.unwrap() == [(1, b"before".to_vec())]);
}

#[test]
fn a_file_that_is_no_database_is_an_error_and_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE_NAME), [7; 8192]).unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    assert!(matches!(refused.code(), "state-failed"), "{refused:?}");
}
