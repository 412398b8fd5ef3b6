//! **Duty.** Makes a folder behave like configfs-tsm for a program that this library is preloaded into: `mkdir` fills an
//! entry with attributes, opening `inblob` to write counts, opening `outblob` makes the quote, `rmdir` takes it all away.
//! **Knows** which calls of the C library the daemon's file operations end in. **Does not know** the daemon. Paths outside
//! of the named folder go to the C library untouched. **Spec.** EVIDENCE §5.1.

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use weighbridge_tests_simulator::SimulatedNode;

use crate::script::{Quote, Script, variable};

/// Names the folder.
const FOLDER: &str = "WEIGHBRIDGE_SIMULATED_TSM";
const O_ACCMODE: c_int = 3;
const O_CREAT: c_int = 0o100;
const EBUSY: c_int = 16;
const SNP_REPORT_BYTES: usize = 1184;
const RTLD_NEXT: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
}

type Mkdir = unsafe extern "C" fn(*const c_char, c_uint) -> c_int;
type Open = unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int;
type Rmdir = unsafe extern "C" fn(*const c_char) -> c_int;

/// The entry of the simulated folder that a path names, and what is left of the path.
fn within(path: *const c_char) -> Option<(PathBuf, String)> {
    // SAFETY: the C library's interface wants a string that ends in NUL.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let below = path.strip_prefix(variable(FOLDER)?).ok()?;
    let mut parts = below.iter();
    let entry = parts.next()?;
    let attribute = parts.next().map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.ancestors().find(|folder| folder.file_name() == Some(entry))?;
    Some((folder.to_owned(), attribute))
}

fn next(symbol: &CStr, known: &OnceLock<usize>) -> *mut c_void {
    // SAFETY: the dynamic loader's own function, with a string that ends in NUL.
    let address = *known.get_or_init(|| unsafe { dlsym(RTLD_NEXT, symbol.as_ptr()) }.expose_provenance());
    std::ptr::with_exposed_provenance_mut(address)
}

#[unsafe(no_mangle)]
extern "C" fn mkdir(path: *const c_char, mode: c_uint) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: the symbol of that name in the C library has this type.
    let next = unsafe { std::mem::transmute::<*mut c_void, Mkdir>(next(c"mkdir", &NEXT)) };
    // SAFETY: the caller's own arguments.
    let made = unsafe { next(path, mode) };
    if let (0, Some((entry, attribute))) = (made, within(path))
        && attribute.is_empty()
    {
        fill(&entry);
    }
    made
}

#[unsafe(no_mangle)]
extern "C" fn rmdir(path: *const c_char) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    if let Some((entry, _)) = within(path) {
        for attribute in ["inblob", "outblob", "auxblob", "provider", "generation"] {
            let _ = fs::remove_file(entry.join(attribute));
        }
    }
    // SAFETY: the symbol of that name in the C library has this type.
    let next = unsafe { std::mem::transmute::<*mut c_void, Rmdir>(next(c"rmdir", &NEXT)) };
    // SAFETY: the caller's own argument.
    unsafe { next(path) }
}

/// The third argument is there only when a file is made; reading it otherwise gives a number that nobody uses.
#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    if let Some((entry, attribute)) = within(path).filter(|_| flags & O_CREAT == 0) {
        match (attribute.as_str(), flags & O_ACCMODE) {
            ("inblob", 1) => count(&entry, 1),
            ("outblob", 0) if !answered(&entry) => {
                // SAFETY: the C library's own place for the error of this thread.
                unsafe { *__errno_location() = EBUSY };
                return -1;
            }
            _ => {}
        }
    }
    // SAFETY: the symbol of that name in the C library takes these on this platform, the third in a register.
    let next = unsafe { std::mem::transmute::<*mut c_void, Open>(next(c"open64", &NEXT)) };
    // SAFETY: the caller's own arguments.
    unsafe { next(path, flags, mode) }
}

fn fill(entry: &Path) {
    let provider = format!("{}\n", Script::now().provider);
    for (attribute, text) in
        [("generation", "0\n"), ("provider", &*provider), ("inblob", ""), ("outblob", ""), ("auxblob", "")]
    {
        fs::write(entry.join(attribute), text).expect("a folder that a test made");
    }
}

fn count(entry: &Path, writes: u64) {
    let file = entry.join("generation");
    let counted: u64 = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    fs::write(file, format!("{}\n", counted + writes)).expect("an entry that was filled");
}

/// Makes the quote over what was written; false when the host is busy.
fn answered(entry: &Path) -> bool {
    Script::hang_while(|script| script.quote == Quote::Hang);
    let script = Script::now();
    let inblob: Option<[u8; 64]> = fs::read(entry.join("inblob")).ok().and_then(|bytes| bytes.try_into().ok());
    let Some(report_data) = inblob.filter(|_| script.quote != Quote::Busy) else { return false };
    let made = match (script.quote, script.provider.as_str()) {
        (Quote::Garbage, _) => vec![0xa5; 700],
        (_, "sev_guest") => snp_report(&script.node(), report_data),
        _ => tdx_quote(&script.node(), report_data),
    };
    fs::write(entry.join("outblob"), made).expect("an entry that was filled");
    if script.quote == Quote::Raced {
        count(entry, 1);
    }
    true
}

fn tdx_quote(node: &SimulatedNode, report_data: [u8; 64]) -> Vec<u8> {
    node.platform().quote(node.options(), report_data)
}

/// Version 3 of a Milan that no key ever signed: the shape alone, with the platform's device for a chip id.
fn snp_report(node: &SimulatedNode, report_data: [u8; 64]) -> Vec<u8> {
    let mut report = vec![0; SNP_REPORT_BYTES];
    (report[0], report[0x34]) = (3, 1);
    report[0x50..0x90].copy_from_slice(&report_data);
    report[0x188..0x18b].copy_from_slice(&[0x19, 1, 1]);
    let device = node.platform().device().0.0;
    report[0x1a0..0x1e0].copy_from_slice(&[device, device].concat());
    report
}
