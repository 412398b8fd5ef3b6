//! A folder that behaves like configfs-tsm: simulated, and only the file operations differ from the kernel's.

use std::collections::VecDeque;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;

struct SimulatedTsm {
    folder: TempDir,
    provider: &'static str,
    /// What `auxblob` holds; `None` where there is no such attribute.
    auxblob: Option<Vec<u8>>,
    /// Errors that the next reads of `outblob` give.
    faults: Mutex<VecDeque<ErrorKind>>,
    /// How many further requests somebody else writes into our entry.
    racers: Mutex<u32>,
    pauses: Mutex<Vec<Duration>>,
}

impl SimulatedTsm {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            provider: "tdx_guest\n",
            auxblob: None,
            faults: Mutex::default(),
            racers: Mutex::new(0),
            pauses: Mutex::default(),
        }
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count()
    }

    fn fetch(&self) -> Result<TsmAnswer, CollectError> {
        fetch(self, self.folder.path(), &[7; 64], 1024)
    }

    fn count_write(entry: &Path) {
        let file = entry.join("generation");
        let count: u64 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        fs::write(file, format!("{}\n", count + 1)).unwrap();
    }
}

impl TsmFiles for SimulatedTsm {
    fn make_entry(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        for (attribute, content) in
            [("generation", "0\n"), ("provider", self.provider), ("inblob", ""), ("outblob", "")]
        {
            fs::write(path.join(attribute), content)?;
        }
        self.auxblob.iter().try_for_each(|table| fs::write(path.join("auxblob"), table))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let entry = path.parent().unwrap();
        KernelFiles.write(path, bytes)?;
        Self::count_write(entry);
        fs::write(entry.join("outblob"), [b"report over ", bytes].concat())?;
        let mut racers = self.racers.lock().unwrap();
        if *racers > 0 {
            *racers -= 1;
            Self::count_write(entry);
        }
        Ok(())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        if path.ends_with("outblob")
            && let Some(kind) = self.faults.lock().unwrap().pop_front()
        {
            return Err(io::Error::from(kind));
        }
        KernelFiles.read(path, limit)
    }

    fn remove_entry(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn pause(&self, time: Duration) {
        self.pauses.lock().unwrap().push(time);
    }
}

#[test]
fn a_request_answers_over_its_in_blob_and_leaves_no_entry() {
    let tsm = SimulatedTsm::new();
    let answer = tsm.fetch().unwrap();
    assert_eq!(answer.provider, "tdx_guest");
    assert_eq!(answer.outblob, [&b"report over "[..], &[7; 64]].concat());
    assert_eq!(tsm.entries(), 0);
    assert_eq!(provider(&tsm, tsm.folder.path()).unwrap(), "tdx_guest");
    assert_eq!(tsm.entries(), 0);
}

#[test]
fn busy_and_interrupted_requests_are_repeated_with_growing_pauses() {
    let tsm = SimulatedTsm::new();
    tsm.faults.lock().unwrap().extend([ErrorKind::ResourceBusy, ErrorKind::Interrupted, ErrorKind::WouldBlock]);
    assert_eq!(tsm.fetch().unwrap().provider, "tdx_guest");
    let millis: Vec<_> = tsm.pauses.lock().unwrap().iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [10, 20, 40]);
    assert_eq!(tsm.entries(), 0);
}

#[test]
fn a_service_that_stays_busy_is_given_up_and_named() {
    let tsm = SimulatedTsm::new();
    tsm.faults.lock().unwrap().extend([ErrorKind::ResourceBusy; 50]);
    let text = tsm.fetch().unwrap_err().to_string();
    assert!(text.contains("9 attempts failed, the last one because `outblob` is busy"), "{text}");
    assert_eq!(tsm.entries(), 0);
}

#[test]
fn a_raced_answer_is_never_used() {
    let tsm = SimulatedTsm::new();
    *tsm.racers.lock().unwrap() = 1;
    assert!(tsm.fetch().is_ok());
    assert_eq!(tsm.pauses.lock().unwrap().len(), 1);
    *tsm.racers.lock().unwrap() = 100;
    let text = tsm.fetch().unwrap_err().to_string();
    assert!(text.contains("another writer raced for the entry"), "{text}");
}

#[test]
fn a_hosts_table_comes_along_where_there_is_one_and_is_bounded() {
    let mut tsm = SimulatedTsm::new();
    assert_eq!(tsm.fetch().unwrap().auxblob, b"");
    tsm.auxblob = Some(b"table".to_vec());
    assert_eq!(tsm.fetch().unwrap().auxblob, b"table");
    tsm.auxblob = Some(vec![1; MAX_AUX_BYTES + 1]);
    let text = tsm.fetch().unwrap_err().to_string();
    assert!(text.contains("`auxblob` has 65537 bytes or more"), "{text}");
    assert_eq!(tsm.entries(), 0);
}

#[test]
fn an_error_that_does_not_pass_is_told_at_once_and_the_entry_removed() {
    let tsm = SimulatedTsm::new();
    tsm.faults.lock().unwrap().push_back(ErrorKind::InvalidInput);
    let text = tsm.fetch().unwrap_err().to_string();
    assert!(text.contains("read of `outblob`: invalid input parameter"), "{text}");
    assert!(tsm.pauses.lock().unwrap().is_empty());
    assert_eq!(tsm.entries(), 0);
}

#[test]
fn a_report_over_its_bound_and_an_absent_interface_are_refused() {
    let tsm = SimulatedTsm::new();
    let long = fetch(&tsm, tsm.folder.path(), &[7; 64], 40).unwrap_err();
    assert!(matches!(&long, CollectError::Answer { why, .. } if why == "`outblob` has 41 bytes; 1 to 40 are expected"));
    let absent = provider(&KernelFiles, Path::new("/nonexistent/tsm")).unwrap_err().to_string();
    assert!(absent.contains("/nonexistent/tsm does not exist; on a TDX guest"), "{absent}");
}
