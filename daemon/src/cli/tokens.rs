//! **Duty.** The commands that carry public time tokens between an operator and the running service: a beacon round in,
//! a timestamp query out, a timestamp in. **Knows** drand's JSON. **Does not know** whether a token holds: a Verifier
//! judges. **Spec.** docs/time-bracket.md; drand `/public/{round}`; RFC 3161 §2.4.1.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use weighbridge_attest_types::{
    BeaconToken, Digest32, MAX_TIMESTAMP_BYTES, TimestampResponse, timestamp_imprint, timestamp_query,
};
use weighbridge_daemon_api::{Acknowledged, ChallengeRequest, HeadInfo, NodeInfo, ReceiptRequest, paths};

use super::outcome::CommandError;
use super::{Printed, runtime};
use crate::client::Client;
use crate::config::Config;
use crate::export;

/// League of Entropy "quicknet".
const QUICKNET: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
/// A beacon's answer has a few hundred bytes, a timestamp a few thousand.
const MAX_TOKEN_BYTES: u64 = MAX_TIMESTAMP_BYTES as u64;

#[derive(Debug, Args)]
pub(super) struct ChallengeArguments {
    /// A beacon round, as drand's /public/latest answers it
    #[arg(long, value_name = "FILE")]
    beacon: PathBuf,
    /// Hash of the round's chain, in hex
    #[arg(long, value_name = "HEX", default_value = QUICKNET, value_parser = parse_chain)]
    chain: Digest32,
}

#[derive(Debug, Args)]
pub(super) struct HeadArguments {
    /// File for the query that a timestamp authority takes (RFC 3161, DER)
    #[arg(long, value_name = "FILE")]
    timestamp_query: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ReceiptArguments {
    /// A timestamp authority's answer (RFC 3161, DER)
    #[arg(long, value_name = "FILE")]
    timestamp: PathBuf,
}

/// What drand's HTTP interface answers. Fields that we do not use may come and go.
#[derive(Deserialize)]
struct DrandRound {
    round: u64,
    signature: String,
    #[serde(default)]
    previous_signature: String,
    randomness: Option<Digest32>,
}

pub(super) fn challenge(config: &Config, arguments: &ChallengeArguments) -> Result<Printed, CommandError> {
    let ChallengeArguments { beacon, chain } = arguments;
    let round = parse_round(&read(beacon)?, *chain).map_err(|why| {
        let what = "a beacon round as drand answers it";
        CommandError::Token { path: beacon.clone(), what, why }
    })?;
    let request = ChallengeRequest::Beacon(round.clone());
    let info: NodeInfo = runtime()?.block_on(Client::new(&config.socket).post(paths::CHALLENGE, &request))?;
    let quoted = info.key_quote.map_or_else(|| "none".to_owned(), |quote| quote.to_string());
    let text = format!("answered  round {} of chain {chain}\nkey quote {quoted}\n", round.round());
    Ok(Printed::good(text, json!(info)))
}

fn parse_round(bytes: &[u8], chain: Digest32) -> Result<BeaconToken, String> {
    let parsed: DrandRound = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let DrandRound { round, signature, previous_signature, randomness } = parsed;
    let unhex = |text: &str| hex::decode(text).map_err(|error| error.to_string());
    let token = BeaconToken::new(chain, round, unhex(&previous_signature)?, unhex(&signature)?);
    let token = token.map_err(|error| error.to_string())?;
    match randomness {
        Some(randomness) if randomness != token.randomness() => {
            Err("its randomness is not the digest of its signature".to_owned())
        }
        _ => Ok(token),
    }
}

pub(super) fn head(config: &Config, arguments: &HeadArguments) -> Result<Printed, CommandError> {
    let info: NodeInfo = runtime()?.block_on(Client::new(&config.socket).get(paths::NODE))?;
    let HeadInfo { index, head } = info.head.ok_or(CommandError::NoHead)?;
    let imprint = timestamp_imprint(info.node_key.digest(), index, head);
    if let Some(file) = &arguments.timestamp_query {
        export::write_public(&timestamp_query(imprint), file)?;
    }
    let text = format!("index     {index}\nhead      {head}\nimprint   {imprint}\n");
    let claims = json!({
        "index": index, "head": head, "imprint": imprint, "state": info.state, "written": arguments.timestamp_query,
    });
    Ok(Printed::good(text, claims))
}

pub(super) fn receipt(config: &Config, arguments: &ReceiptArguments) -> Result<Printed, CommandError> {
    let ReceiptArguments { timestamp } = arguments;
    let answer = TimestampResponse::new(read(timestamp)?).map_err(|error| {
        let (what, why) = ("the answer of a timestamp authority", error.to_string());
        CommandError::Token { path: timestamp.clone(), what, why }
    })?;
    let request = ReceiptRequest::Timestamp(answer);
    let kept: Acknowledged = runtime()?.block_on(Client::new(&config.socket).post(paths::RECEIPT, &request))?;
    let text = if kept.counted { "kept\n" } else { "kept, in place of an earlier one\n" };
    Ok(Printed::good(text.to_owned(), json!(kept)))
}

/// One byte more than allowed is enough to be refused by whoever parses.
fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(MAX_TOKEN_BYTES.saturating_add(1)).read_to_end(&mut bytes));
    opened.map_err(|source| CommandError::TokenUnreadable { path: path.to_owned(), source })?;
    Ok(bytes)
}

fn parse_chain(text: &str) -> Result<Digest32, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Digest32).ok_or_else(|| "a chain hash is 64 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_read_as_drand_writes_it_and_its_randomness_must_fit() {
        let signature = hex::encode([0x80; 48]);
        let randomness = weighbridge_attest_types::sha256(&[0x80; 48]);
        let text = format!(r#"{{"round":7,"randomness":"{randomness}","signature":"{signature}"}}"#);
        let round = parse_round(text.as_bytes(), Digest32([1; 32])).unwrap();
        assert_eq!((round.round(), round.randomness(), round.previous()), (7, randomness, &[][..]));
        let refused = |from: &str, to: &str| parse_round(text.replacen(from, to, 1).as_bytes(), Digest32([1; 32]));
        assert_eq!(refused("\"round\":7", "\"round\":0").unwrap_err(), "beacon round is not a canonical value");
        let wrong = refused(&randomness.to_string(), &"00".repeat(32)).unwrap_err();
        assert_eq!(wrong, "its randomness is not the digest of its signature");
        assert!(refused("8080", "80808").is_err());
    }
}
