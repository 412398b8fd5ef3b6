//! `weighbridge-fetch` against a service on this machine that serves captured statements: what is kept, what is refused,
//! how often it asks. Nothing leaves the machine.

mod server;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weighbridge_attest_types::{Culprit, SnpProduct, SnpSigner, UnixMillis};
use weighbridge_endorsements::{Key, PckAuthority, Store, TcbUpdate};
use weighbridge_fetch::{Clock, FetchError, Fetched, Fetcher, Http, Job, Limits, Outcome, Services, Timeouts, fetch};
use weighbridge_tests::vectors::{Case, instant};
use weighbridge_tests::{Ran, program, run, shared, skipped};

use self::server::{Manner, Reply, Server};

/// Time of the test's own: waiting takes none.
#[derive(Debug)]
struct Still {
    wall: UnixMillis,
    now: Mutex<Duration>,
    slept: Mutex<Vec<Duration>>,
}

impl Clock for Still {
    fn monotonic(&self) -> Duration {
        *self.now.lock().expect("time")
    }
    fn wall(&self) -> UnixMillis {
        self.wall
    }
    fn sleep(&self, time: Duration) {
        *self.now.lock().expect("time") += time;
        self.slept.lock().expect("time").push(time);
    }
}

/// A fetcher with a store, at an instant.
struct Desk {
    folder: tempfile::TempDir,
    clock: Arc<Still>,
    fetcher: Fetcher,
    services: Services,
}

impl Desk {
    fn at(wall: &str, server: &Server) -> Self {
        let wall = instant(wall);
        let clock = Arc::new(Still { wall, now: Mutex::default(), slept: Mutex::default() });
        let limits = Limits {
            tries: 3,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            host_pauses: vec![],
        };
        let timeouts = Timeouts { connect: Duration::from_secs(5), exchange: Duration::from_millis(1_500) };
        let http = Http::new(timeouts, None);
        let fetcher = Fetcher::new(Box::new(http), Arc::<Still>::clone(&clock), limits);
        let url = || server.url.clone();
        let services = Services { intel: url(), intel_root: url(), amd: url(), nvidia_rim: url(), nvidia_ocsp: url() };
        Self { folder: tempfile::tempdir().expect("a temporary folder"), clock, fetcher, services }
    }

    fn fetch(&self, key: Key) -> Result<Fetched, Arc<FetchError>> {
        let store = Store::at(self.folder.path());
        fetch(&Job::from(key), &store, &self.services, &self.fetcher, false, 0)
    }

    /// Waits that were made, in seconds.
    fn waits(&self) -> Vec<u64> {
        self.clock.slept.lock().expect("time").iter().map(Duration::as_secs).collect()
    }
}

const MILAN: Key = Key::AmdChain { product: SnpProduct::Milan, signer: SnpSigner::Vcek };
const MILAN_PATH: &str = "/vcek/v1/Milan/cert_chain";
const WALL: &str = "2026-10-01T00:00:00Z";

/// ASK and ARK as AMD's service sends them.
fn milan() -> Option<Vec<u8>> {
    let Some(shared) = shared() else {
        skipped("fetching captured statements: no shared folder (set WEIGHBRIDGE_SHARED)");
        return None;
    };
    let pem = |name: &str| {
        let der = std::fs::read(shared.join("vectors/_pool/amd-roots").join(name)).expect("a certificate");
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
    };
    Some((pem("SEV-Milan.der") + &pem("ARK-Milan.der")).into_bytes())
}

fn serving(path: &str, replies: Vec<Reply>) -> (Server, Desk) {
    let server = Server::start([(path.to_owned(), replies)]);
    let desk = Desk::at(WALL, &server);
    (server, desk)
}

#[test]
fn what_was_fetched_is_kept_and_asked_for_once() {
    let Some(chain) = milan() else { return };
    let (server, desk) = serving(MILAN_PATH, vec![Reply::ok(chain.clone())]);
    let first = desk.fetch(MILAN).expect("fetched");
    assert_eq!((first.outcome, first.name.as_str()), (Outcome::Fetched, "amd/milan/vcek-chain.pem"));
    assert_eq!(std::fs::read(desk.folder.path().join(&first.name)).expect("a file"), chain);
    assert_eq!(desk.fetch(MILAN).expect("kept").outcome, Outcome::Kept);
    assert_eq!(server.asked(), [format!("GET {MILAN_PATH}")]);
}

#[test]
fn a_busy_slow_or_cut_service_is_asked_again_and_nothing_half_is_kept() {
    let Some(chain) = milan() else { return };
    let whole = || Reply::ok(chain.clone());
    let slow = whole().in_manner(Manner::Slow(Duration::from_secs(4)));
    let busy = Reply::status(429).with("retry-after", "7");
    let (server, desk) = serving(MILAN_PATH, vec![busy, whole().in_manner(Manner::Cut), whole()]);
    assert_eq!(desk.fetch(MILAN).expect("the third answer").outcome, Outcome::Fetched);
    assert_eq!((server.asked().len(), desk.waits()), (3, vec![7, 2]));

    for manner in [Manner::Cut, slow.manner] {
        let (server, desk) = serving(MILAN_PATH, vec![whole().in_manner(manner)]);
        let error = desk.fetch(MILAN).expect_err("never whole");
        assert_eq!((error.culprit(), server.asked().len()), (Culprit::Unavailable, 3), "{manner:?}: {}", error.chain());
        assert_eq!(std::fs::read_dir(desk.folder.path()).expect("a folder").count(), 0, "{manner:?}");
    }

    // A service that asks for more patience than there is, is left alone at once.
    let (server, desk) = serving(MILAN_PATH, vec![Reply::status(429).with("retry-after", "3600")]);
    let error = desk.fetch(MILAN).expect_err("too long");
    assert!(error.chain().contains("3600"), "{}", error.chain());
    assert_eq!((error.culprit(), server.asked().len(), desk.waits()), (Culprit::Unavailable, 1, vec![]));
}

#[test]
fn what_is_not_there_or_not_what_was_asked_for_is_not_kept() {
    let Some(chain) = milan() else { return };
    let genoa = Key::AmdChain { product: SnpProduct::Genoa, signer: SnpSigner::Vcek };
    for (key, path, reply, culprit, asked) in [
        (MILAN, MILAN_PATH, Reply::status(404), Culprit::Unavailable, 1),
        (MILAN, MILAN_PATH, Reply::status(302).with("location", "http://127.0.0.1:1/"), Culprit::Malformed, 1),
        (MILAN, MILAN_PATH, Reply::ok("<html>log in first</html>"), Culprit::Malformed, 1),
        (MILAN, MILAN_PATH, Reply::ok(vec![b'x'; 17 << 10]), Culprit::Malformed, 1),
        (MILAN, MILAN_PATH, Reply::status(503), Culprit::Unavailable, 3),
        (genoa, "/vcek/v1/Genoa/cert_chain", Reply::ok(chain.clone()), Culprit::Malformed, 1),
    ] {
        let said = format!("{reply:?}").chars().take(60).collect::<String>();
        let (server, desk) = serving(path, vec![reply]);
        let error = desk.fetch(key).expect_err(&said);
        assert_eq!((error.culprit(), server.asked().len()), (culprit, asked), "{said}: {}", error.chain());
        assert_eq!(std::fs::read_dir(desk.folder.path()).expect("a folder").count(), 0, "{said}");
    }
}

/// Percent-encoding of everything but letters and digits, as Intel's headers have it.
fn encoded(text: &str) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// Intel's four answers, taken from a captured collateral file.
fn intel(collateral: &Value) -> Server {
    let text = |name: &str| collateral[name].as_str().unwrap_or_else(|| panic!("{name}")).to_owned();
    let signed = |field: &str, inner: &str, signature: &str| {
        format!("{{\"{field}\":{},\"signature\":\"{}\"}}", text(inner), text(signature))
    };
    let list = |name: &str| hex::decode(text(name)).expect("hex");
    let tcb = Reply::ok(signed("tcbInfo", "tcb_info", "tcb_info_signature"));
    let identity = Reply::ok(signed("enclaveIdentity", "qe_identity", "qe_identity_signature"));
    let chain = |name: &str| encoded(&text(name));
    Server::start([
        (
            "/tdx/certification/v4/tcb?fmspc=90c06f000000&update=standard".to_owned(),
            vec![tcb.with("TCB-Info-Issuer-Chain", &chain("tcb_info_issuer_chain"))],
        ),
        (
            "/tdx/certification/v4/qe/identity?update=standard".to_owned(),
            vec![identity.with("SGX-Enclave-Identity-Issuer-Chain", &chain("qe_identity_issuer_chain"))],
        ),
        (
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der".to_owned(),
            vec![Reply::ok(list("pck_crl")).with("SGX-PCK-CRL-Issuer-Chain", &chain("pck_crl_issuer_chain"))],
        ),
        ("/IntelSGXRootCA.der".to_owned(), vec![Reply::ok(list("root_ca_crl"))]),
    ])
}

#[test]
fn intels_answers_become_collateral_that_a_quote_is_accepted_with() {
    let Some(case) = Case::named("tdx", "v4-dstack-quote-report-90c06f") else { return };
    let row = case.appraisals.iter().find(|row| row.expect == "accepted").expect("an accepted row");
    let at = row.at.clone().expect("a time");
    let collateral: Value = serde_json::from_slice(&case.read(&row.endorsements[0])).expect("JSON");
    let key = |fmspc| Key::IntelTdx { fmspc, authority: PckAuthority::Platform, update: TcbUpdate::Standard };
    let model = [0x90, 0xc0, 0x6f, 0, 0, 0];
    let server = intel(&collateral);
    let desk = Desk::at(&at, &server);
    let fetched = desk.fetch(key(model)).unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(fetched.outcome, Outcome::Fetched);
    let mut appraise = crate::commands::weighbridge(&["appraise", "--kind", "tdx", "--at", &at, "--evidence"]);
    let ran = run(appraise.arg(case.folder.join("quote.bin")).arg("--endorsements").arg(desk.folder.path()));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    // The same answers a year later have ended, and another model's are not there.
    let late = Desk::at("2028-01-01T00:00:00Z", &server);
    assert_eq!(late.fetch(key(model)).expect_err("ended").culprit(), Culprit::Malformed);
    assert_eq!(desk.fetch(key([1; 6])).expect_err("not there").culprit(), Culprit::Unavailable);
}

#[test]
fn a_manifest_is_unwrapped_and_a_damaged_one_refused() {
    let Some(shared) = shared() else { return skipped("fetching captured manifests: no shared folder") };
    let file = shared.join("vectors/_pool/nvidia-rims/NV_GPU_DRIVER_GH100_550.144.03.xml");
    let rim = std::fs::read(file).expect("a manifest");
    let id = "NV_GPU_DRIVER_GH100_550.144.03";
    let answer = |rim: &[u8]| Reply::ok(json!({ "id": id, "rim": STANDARD.encode(rim) }).to_string());
    let (_server, desk) = serving(&format!("/v1/rim/{id}"), vec![answer(&rim)]);
    let key = || Key::rim(id).expect("an id");
    let fetched = desk.fetch(key()).unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(std::fs::read(desk.folder.path().join(fetched.name)).expect("a file"), rim);
    let mut damaged = rim.clone();
    let at = damaged.windows(4).position(|window| window == b"Hash").expect("a measurement") + 8;
    damaged[at] ^= 1;
    let (_server, desk) = serving(&format!("/v1/rim/{id}"), vec![answer(&damaged)]);
    assert_eq!(desk.fetch(key()).expect_err("damaged").culprit(), Culprit::Malformed);
    for id in ["", "../x", "a/b", "a?b", "a%2fb", ".a"] {
        assert!(Key::rim(id).is_err(), "{id:?} would enter a URL");
    }
}

fn weighbridge_fetch(server: &Server, store: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(program("weighbridge-fetch"));
    command.args(words).arg("--store").arg(store).args(["--amd-url", &server.url, "--tries", "1"]);
    run(command.args(["--amd-pause", "0s", "--format", "json"]))
}

#[test]
fn the_program_says_one_object_and_an_exit_code() {
    let Some(chain) = milan() else { return };
    let server = Server::start([(MILAN_PATH.to_owned(), vec![Reply::ok(chain)])]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let object = |ran: &Ran| -> Value {
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", ran.stdout, ran.stderr))
    };
    let good = weighbridge_fetch(&server, folder.path(), &["amd-chain", "--product", "Milan"]);
    let said = object(&good);
    assert_eq!((good.code, &said["verdict"]), (Some(0), &json!("accepted")), "{}", good.stderr);
    assert_eq!(said["claims"]["items"][0]["outcome"], "fetched");
    let missing = weighbridge_fetch(&server, folder.path(), &["amd-crl", "--product", "Milan"]);
    let said = object(&missing);
    assert_eq!((missing.code, &said["verdict"]), (Some(6), &json!("unavailable")), "{}", missing.stderr);
    assert!(missing.stderr.contains("404"), "{}", missing.stderr);
    // A batch asks for each thing once, whatever else fails.
    let batch = folder.path().join("batch.txt");
    std::fs::write(
        &batch,
        "# a fleet\namd-chain --product Milan\n\namd-chain --product Milan\namd-crl --product Genoa\n",
    )
    .expect("writes");
    let store = tempfile::tempdir().expect("a temporary folder");
    let ran = weighbridge_fetch(&server, store.path(), &["batch", &batch.display().to_string()]);
    let said = object(&ran);
    assert_eq!((ran.code, said["claims"]["items"].as_array().map(Vec::len)), (Some(6), Some(1)), "{said}");
    let of_milan = server.asked().iter().filter(|line| line.contains("Milan/cert_chain")).count();
    assert_eq!(of_milan, 2, "once for each store");
}
