//! A timestamp authority of `openssl(1)`, and its verdicts beside ours: on good tokens, on altered ones, and on ones that
//! an authority should not have made.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use weighbridge_attest_types::{CertificateAnchor, Digest32, sha256};
use weighbridge_tests::skipped;

use super::{TimestampError, judged, roots_of};

const CONFIG: &str = "\
[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=placeholder\n\
[root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
[good]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n\
[soft]\nbasicConstraints=CA:FALSE\nextendedKeyUsage=timeStamping\n\
[none]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n\
[both]\nbasicConstraints=CA:FALSE\nextendedKeyUsage=critical,timeStamping,codeSigning\n\
[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\ndigests=sha256\n\
accuracy=secs:1\ness_cert_id_alg=sha256\n";
const DATA: &[u8] = b"what is stamped";

/// A folder with a root and one signer per way to be one.
struct Authority {
    folder: TempDir,
    kind: &'static str,
}

impl Authority {
    /// `None` where there is no openssl; `.ci/run` installs it.
    fn new(kind: &'static str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            skipped("openssl is not installed, so its timestamps were not compared");
            return None;
        }
        let authority = Self { folder: tempfile::tempdir().unwrap(), kind };
        fs::write(authority.path("ca.cnf"), CONFIG).unwrap();
        fs::write(authority.path("data"), DATA).unwrap();
        for root in ["root", "other"] {
            let words = format!(
                "req -x509 {} -nodes -keyout {root}.key -out {root}.pem -days 30 -subj /CN={root} -config ca.cnf \
                 -extensions root",
                authority.new_key()
            );
            authority.must(&words);
        }
        for signer in ["good", "soft", "none", "both"] {
            let key = authority.new_key();
            authority.must(&format!(
                "req {key} -nodes -keyout {signer}.key -out {signer}.csr -subj /CN={signer} -config ca.cnf"
            ));
            authority.must(&format!(
                "x509 -req -in {signer}.csr -CA root.pem -CAkey root.key -set_serial 7 -days 10 -extfile ca.cnf \
                 -extensions {signer} -out {signer}.pem"
            ));
        }
        authority.must("ts -query -data data -sha256 -no_nonce -cert -out query.tsq");
        authority.must(
            "ts -reply -config ca.cnf -section t -queryfile query.tsq -signer good.pem -inkey good.key -out good.tsr",
        );
        authority.must("ts -reply -in good.tsr -token_out -out good.token");
        authority.must("cms -verify -noverify -inform DER -in good.token -out good.info");
        Some(authority)
    }

    fn new_key(&self) -> &'static str {
        if self.kind == "ec" { "-newkey ec -pkeyopt ec_paramgen_curve:P-256" } else { "-newkey rsa:2048" }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &str) -> (bool, String) {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(self.folder.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn must(&self, words: &str) {
        let (good, said) = self.run(words);
        assert!(good, "openssl {words}: {said}");
    }

    fn roots(&self, name: &str) -> Vec<CertificateAnchor> {
        roots_of(&fs::read_to_string(self.path(&format!("{name}.pem"))).unwrap())
    }

    /// A granted answer whose token another signer, or the same one, makes over this TSTInfo.
    fn signed(&self, info: &[u8], signer: &str, ess: &str) -> Vec<u8> {
        fs::write(self.path("info"), info).unwrap();
        self.must(&format!(
            "cms -sign -binary -nodetach -nosmimecap {ess}-md sha256 -econtent_type 1.2.840.113549.1.9.16.1.4 -in info \
             -signer {signer}.pem -inkey {signer}.key -outform DER -out made.token"
        ));
        granted(&fs::read(self.path("made.token")).unwrap())
    }

    /// Whether openssl accepts the answer as one over this digest, at this time.
    fn accepts(&self, response: &[u8], imprint: Digest32, root: &str, at: u64) -> bool {
        fs::write(self.path("asked.tsr"), response).unwrap();
        self.run(&format!("ts -verify -digest {imprint} -in asked.tsr -CAfile {root}.pem -attime {at}")).0
    }

    /// Both verdicts, which must be one.
    #[track_caller]
    fn both(&self, response: &[u8], imprint: Digest32, root: &str, at: u64) -> Result<(), TimestampError> {
        let ours = judged(response, &self.roots(root));
        let accepted = matches!(&ours, Ok((found, _)) if *found == imprint);
        assert_eq!(accepted, self.accepts(response, imprint, root, at), "{}: {ours:?}", self.kind);
        ours.map(drop)
    }
}

/// `TimeStampResp` with status granted around a token.
fn granted(token: &[u8]) -> Vec<u8> {
    let content = [&[0x30, 0x03, 0x02, 0x01, 0x00], token].concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82, high, low], content.as_slice()].concat()
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("it is there")
}

/// The digits of `genTime`, and the same with another year.
fn with_year(bytes: &[u8], year: &[u8; 4]) -> Vec<u8> {
    let at = bytes.windows(17).position(|window| window[..2] == [0x18, 15] && window[16] == b'Z').expect("genTime") + 2;
    let mut changed = bytes.to_vec();
    changed[at..at + 4].copy_from_slice(year);
    changed
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn openssl_and_we_agree_on_good_and_on_altered_timestamps() {
    for kind in ["ec", "rsa"] {
        let Some(authority) = Authority::new(kind) else { return };
        let (good, info) = (read(&authority.path("good.tsr")), read(&authority.path("good.info")));
        let (imprint, wrong) = (sha256(DATA), sha256(b"another thing"));
        let made = super::TimestampToken::parse(&good).unwrap().made().seconds();
        assert_eq!(authority.both(&good, imprint, "root", made), Ok(()));
        // Over something else: the token holds, and is not about what was asked.
        assert_eq!(authority.both(&good, wrong, "root", made), Ok(()));
        assert_eq!(authority.both(&good, imprint, "other", made), Err(TimestampError::UnknownRoot));
        let broken = |why: &str| Err(TimestampError::Signature(why.to_owned()));
        let earlier = with_year(&good, b"2025");
        assert_eq!(authority.both(&earlier, imprint, "root", made), broken("another content was signed"));
        let mut other_imprint = good.clone();
        let at = find(&good, &imprint.0);
        other_imprint[at..at + 32].copy_from_slice(&wrong.0);
        assert_eq!(authority.both(&other_imprint, wrong, "root", made), broken("another content was signed"));
        let mut other_signature = good.clone();
        *other_signature.last_mut().unwrap() ^= 1;
        let refused = authority.both(&other_signature, imprint, "root", made);
        assert_eq!(refused, broken("the key of its certificate did not make it"));
        assert_eq!(authority.both(&authority.signed(&info, "good", "-cades "), imprint, "root", made), Ok(()));
    }
}

#[test]
fn openssl_and_we_agree_on_timestamps_that_nobody_should_have_made() {
    for kind in ["ec", "rsa"] {
        let Some(authority) = Authority::new(kind) else { return };
        let (imprint, info) = (sha256(DATA), read(&authority.path("good.info")));
        let made = super::TimestampToken::parse(&read(&authority.path("good.tsr"))).unwrap().made().seconds();
        let refused =
            |info: &[u8], signer, ess, at| authority.both(&authority.signed(info, signer, ess), imprint, "root", at);
        let certificate = |why: &str| Err(TimestampError::Certificate(why.to_owned()));
        assert_eq!(refused(&info, "none", "-cades ", made), certificate("it has no extended key usage"));
        assert_eq!(refused(&info, "soft", "-cades ", made), certificate("its extended key usage is not critical"));
        let both = certificate("its extended key usage is not timestamping alone");
        assert_eq!(refused(&info, "both", "-cades ", made), both);
        let unnamed = Err(TimestampError::Signature("its certificate was not signed along".to_owned()));
        assert_eq!(refused(&info, "good", "", made), unnamed);
        // Seventy years on: properly signed, by a certificate that had ended.
        let late = with_year(&info, b"2096");
        let expired = certificate("its dates do not hold at the time that the token says");
        assert_eq!(refused(&late, "good", "-cades ", 4_000_000_000), expired);
    }
}
