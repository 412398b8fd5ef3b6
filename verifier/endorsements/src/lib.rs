//! **Duty.** Vendors' statements on disk: a folder that a Verifier and its fetchers share, what each file says and until
//! when, and one archive of it for sites without a network. **Knows** files. **Does not know** the network, clocks or
//! whether a statement is signed: schemes check that each time. **Spec.** ECOSYSTEM §3 (13–16); docs/endorsements.md.

mod archive;
mod error;
mod files;
mod key;
mod status;
mod store;

pub use archive::{ImportOutcome, Imported, MAX_ARCHIVE_BYTES, pack, unpack};
pub use error::StoreError;
pub use files::{
    FOLDER_DEPTH, FOLDER_FILES, is_abandoned, read_capped, walk, write_atomically, write_atomically_in_private,
};
pub use key::{Key, KeyError, PckAuthority, TcbUpdate};
pub use status::{FileStatus, State, parse_span, status};
pub use store::{MAX_FILE_BYTES, Store};
