//! The systemd units: systemd's own verdict on them, and the socket that it hands over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weighbridge_daemon::Client;
use weighbridge_daemon_api::{NodeInfo, paths};
use weighbridge_tests::{program, run, skipped};

use super::kill::{CHILD, FOLDER};
use super::support::{config_in, eventually};

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd");

fn is_there(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(&format!("what systemd says about the units: {tool} is not installed"));
    }
    found
}

/// 0 is a service that can do nothing, 10 one that can do everything.
#[test]
fn the_unit_is_exposed_to_one_and_a_half_or_less() {
    if !is_there("systemd-analyze") {
        return;
    }
    let unit = format!("{UNITS}/weighbridged.service");
    let judged = run(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15", &unit]));
    assert_eq!(judged.code, Some(0), "{}", judged.stdout);
}

/// Every directive is known, every value parses; the program is the built one, since it is not installed here.
#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    if !is_there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let built = program("weighbridged");
    let names = ["weighbridged.service", "weighbridged.socket"];
    for name in names {
        let text = fs::read_to_string(format!("{UNITS}/{name}")).unwrap();
        fs::write(folder.path().join(name), text.replace("/usr/bin/weighbridged", built.to_str().unwrap())).unwrap();
    }
    let verify = |names: &[&str]| {
        let files: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        let path = format!("{}:", folder.path().display());
        run(Command::new("systemd-analyze").arg("verify").args(files).env("SYSTEMD_UNIT_PATH", path))
    };
    let verified = verify(&names);
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    let service = fs::read_to_string(folder.path().join(names[0])).unwrap();
    fs::write(folder.path().join("odd.service"), service.replace("PrivateTmp=yes", "PrivateTemp=yes")).unwrap();
    let odd = verify(&["odd.service"]);
    assert!(odd.stderr.contains("PrivateTemp"), "a wrong directive is not noticed: {}", odd.stderr);
}

/// systemd's protocol by hand: the socket is file descriptor 3, and the environment says whose it is.
const HAND_OVER: &str = "
import os, socket, sys
path, program = sys.argv[1], sys.argv[2]
s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(8)
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(program, sys.argv[2:])
";

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_systemd_hands_over_is_served_and_left_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let handed: &Path = &folder.path().join("handed.sock");
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("python3");
    command.arg("-c").arg(HAND_OVER).arg(handed).arg(this).args(["--exact", CHILD, "--nocapture"]);
    let mut node = command.env(FOLDER, folder.path()).stdout(Stdio::null()).spawn().unwrap();
    let client = Client::new(handed);
    let info = eventually(|| async { client.get::<NodeInfo>(paths::NODE).await.ok() }).await;
    assert_eq!(info.head, None);
    assert!(!config_in(folder.path()).socket.exists(), "it makes no second socket");
    let ended = run(Command::new("kill").args(["-TERM", &node.id().to_string()]));
    assert_eq!(ended.code, Some(0));
    node.wait().unwrap();
    assert!(handed.exists());
}
