use super::*;

fn answer(line: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(line.split_whitespace().map(OsString::from), &mut out, &mut err, false);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn the_command_line_is_well_formed() {
    command_line().debug_assert();
}

#[test]
fn what_makes_no_request_is_usage_before_anything_travels() {
    for (line, said) in [
        ("intel --fmspc 90c06f000000", "name the store"),
        ("intel --fmspc 90c06f --store x", "3 bytes; it must be 6 bytes"),
        ("amd-vcek --product Milan --chip 00 --tcb bootloader=4,tee=0,snp=24,microcode=219 --store x", "64 bytes"),
        ("amd-vcek --product Rome --chip 00 --tcb x --store x", "invalid value 'Rome'"),
        ("nvidia-rim ../../etc --store x", "RIM id \"../../etc\""),
        ("nvidia-ocsp --chain no/such --store x", "cannot read no/such"),
        ("amd-chain --product Milan --store x --amd-url ftp://x", "is no base URL"),
        ("batch no/such --store x", "cannot read no/such"),
        ("", "Usage: weighbridge-fetch"),
    ] {
        let (code, out, err) = answer(&format!("weighbridge-fetch {line}"));
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(err.contains(said), "{line}: {err}");
    }
    let (code, out, _) = answer("weighbridge-fetch nvidia-rim a/b --store x --format json");
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &object["verdict"], &object["reasons"][0]["code"]),
        (2, &"usage".into(), &"fetch-request".into())
    );
    let (code, out, _) = answer("weighbridge-fetch frobnicate --format json");
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &object["reasons"][0]["code"]), (2, &"command-line".into()));
}

#[test]
fn a_batch_is_read_line_by_line_and_names_the_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("batch");
    let jobs = |text: &str| {
        std::fs::write(&file, text).unwrap();
        BatchArgs { file: file.clone() }.jobs()
    };
    let text = "# a fleet\n\namd-chain --product Milan\namd-chain --product Milan\n  nvidia-rim A B\n";
    let names: Vec<String> = jobs(text).unwrap().iter().map(|job| job.key.name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "amd/milan/vcek-chain.pem");
    let error = jobs("amd-chain --product Milan\nfrobnicate\n").unwrap_err().to_string();
    assert!(error.contains(":2: ") && error.contains("frobnicate"), "{error}");
    assert!(jobs("batch other\n").is_err(), "a batch calls no batch");
}

#[test]
fn every_command_has_an_example_and_its_exit_codes() {
    for command in command_line().get_subcommands() {
        let mut command = command.clone();
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example") && help.contains("Exit codes: 0"), "{help}");
    }
}
