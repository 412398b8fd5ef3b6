//! **Duty.** `weighbridge audit draw`: traces committed as one window, challenged, and the leaves that are drawn.
//! **Knows** files and the order of arguments. **Does not know** signatures of rounds or nonces, and judges no tile.
//! **Spec.** PROTOCOL §3, §5, §8; decision 0064.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use weighbridge_attest_types::{Digest32, Flops, PoseidonDigest, UnixMillis};
use weighbridge_audit::trace::{Kind, Operation};
use weighbridge_audit::{
    AuditMode, AuditPolicy, ChallengedWindow, CommittedUnit, DrawnLeaf, RandomnessRule, Revealed, Salts, TraceWindow,
    WindowChain, WindowError, commit_trace, window_root,
};

use crate::audit_failure::AuditFailure;
use crate::audit_policy::weight_name;
use crate::cli::Format;
use crate::cli::audit::policy::{TraceFolder, policy};
use crate::cli::console::Console;
use crate::cli::object::Object;
use crate::error::CliError;
use crate::files::read_capped;
use crate::instant;

const HELP: &str = "Traces are committed as one window in the mode `committed`: first the root, then the challenge, then the \
    draws. The challenge is the one that the policy's rule names: nothing for a self-check, a verifier's nonce with the times \
    of quote, witness and nonce, or a beacon's round with the times of quote and witness. Whether the round or the nonce is \
    genuine is not looked at here. Without --secret the salts are known to everybody: publish no such root.\n\n\
    Example: weighbridge audit draw --trace traces/step-00000200 --policy audit-policy.json --genesis \
    1111111111111111111111111111111111111111111111111111111111111111 --node \
    2222222222222222222222222222222222222222222222222222222222222222 --window 0\n\n\
    Exit codes: 0 accepted; 2 a file cannot be read; 3 the policy or a trace is malformed or cannot be committed; 4 the order \
    of events is not the policy's.";
/// Bytes of a secret.
const SECRET_BYTES: u64 = 32;

/// Commits traces as a window and draws from it
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct DrawArgs {
    /// Folder of a trace; repeatable, in the order of steps and ranks
    #[arg(long, value_name = "DIR", required = true)]
    trace: Vec<PathBuf>,
    /// The audit policy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Genesis of the run, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = digest)]
    genesis: Digest32,
    /// Digest of the node's key, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = digest)]
    node: Digest32,
    /// Index of the window, from 0
    #[arg(long, value_name = "N")]
    window: u64,
    /// File of 32 bytes that the salts are made of
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// A verifier's nonce, 64 hexadecimal digits
    #[arg(
        long,
        value_name = "HEX",
        value_parser = digest,
        conflicts_with = "beacon_value",
        requires_all = ["quoted", "witnessed", "issued"]
    )]
    nonce: Option<Digest32>,
    /// When the nonce was told
    #[arg(long, value_name = "RFC3339", value_parser = instant::parse, requires = "nonce")]
    issued: Option<UnixMillis>,
    /// Output of a beacon's round, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = digest, requires_all = ["quoted", "witnessed", "round"])]
    beacon_value: Option<Digest32>,
    /// Number of the round
    #[arg(long, value_name = "N", requires = "beacon_value")]
    round: Option<u64>,
    /// When the head with the window's root was quoted
    #[arg(long, value_name = "RFC3339", value_parser = instant::parse)]
    quoted: Option<UnixMillis>,
    /// When somebody else saw the quoted head
    #[arg(long, value_name = "RFC3339", value_parser = instant::parse)]
    witnessed: Option<UnixMillis>,
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Format,
}

fn digest(text: &str) -> Result<Digest32, String> {
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "it has 64 hexadecimal digits".to_owned())?;
    Ok(Digest32(bytes))
}

/// What is printed.
struct Answer<'a> {
    args: &'a DrawArgs,
    policy: AuditPolicy,
    published: PoseidonDigest,
    window: ChallengedWindow,
    uncovered: usize,
    leaves: Vec<(u8, u32, DrawnLeaf)>,
}

impl DrawArgs {
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let policy = policy(&self.policy)?;
        if policy.mode() == AuditMode::Replayed {
            return Err(failed(WindowError::Mode("replayed")));
        }
        let salts = Salts::new(self.secret_bytes()?);
        let (units, uncovered) = self.units(&salts)?;
        let traces = TraceWindow::new(units).map_err(failed)?;
        let (published, window) = self.challenged(&policy, &traces, &salts)?;
        let bar = console.draw_bar();
        let mut leaves = Vec::new();
        for (number, stratum) in (0u8..).zip(policy.strata()) {
            bar.set_length(u64::from(stratum.draws));
            for draw in 0..stratum.draws {
                let opened = traces.open(&window, (number, draw)).map_err(failed)?;
                leaves.extend(opened.map(|leaf| (number, draw, leaf)));
                bar.set_position(u64::from(draw));
            }
        }
        bar.finish_and_clear();
        let answer = Answer { args: self, policy, published, window, uncovered, leaves };
        match self.format {
            Format::Text => console.print(&answer.text())?,
            Format::Json => Object::accepted(answer.claims()).print(console)?,
        }
        Ok(0)
    }

    /// The secret, or zeros that everybody knows.
    fn secret_bytes(&self) -> Result<[u8; 32], CliError> {
        let Some(path) = &self.secret else { return Ok([0; 32]) };
        let bytes = read_capped(path, SECRET_BYTES)?;
        bytes
            .try_into()
            .map_err(|found: Vec<u8>| failed(AuditFailure::Secret { path: path.clone(), found: found.len() }))
    }

    /// Units of all traces, and how many operations no rule covers: also those of micro-batches that hold nothing else.
    fn units(&self, salts: &Salts) -> Result<(Vec<CommittedUnit>, usize), CliError> {
        let (mut units, mut uncovered) = (Vec::new(), 0usize);
        for path in &self.trace {
            let folder = TraceFolder::open(path)?;
            let trace = folder.trace()?;
            let is_uncovered = |operation: &&Operation| matches!(operation.kind, Kind::Opaque { .. });
            uncovered = uncovered.saturating_add(trace.operations().iter().filter(is_uncovered).count());
            let committed = commit_trace(&trace, folder.graph_digest(), salts);
            units.extend(
                committed.map_err(|source| failed(AuditFailure::Commit { path: folder.path().to_owned(), source }))?,
            );
        }
        Ok((units, uncovered))
    }

    /// First the commitment, then the challenge: the types have no other order.
    fn challenged(
        &self,
        policy: &AuditPolicy,
        traces: &TraceWindow,
        salts: &Salts,
    ) -> Result<(PoseidonDigest, ChallengedWindow), CliError> {
        let (index, salt) = (self.window, salts.window(self.window));
        let mut chain =
            WindowChain::continued(self.genesis, self.node, policy.clone(), (index, None)).map_err(failed)?;
        let published = window_root(index, traces.root(), &salt);
        // A self-check has no outside, and its rule looks at neither instant.
        let times = (self.quoted.unwrap_or(UnixMillis(0)), self.witnessed.unwrap_or(UnixMillis(0)));
        let committed = chain.commit((index, published), (*traces.root(), &salt), times).map_err(failed)?;
        let window = committed.challenge(&self.revealed(policy)).map_err(failed)?;
        Ok((published, window))
    }

    /// What was given, as what the policy's rule compares it with.
    fn revealed(&self, policy: &AuditPolicy) -> Revealed {
        let (named_chain, named_verifier) = match policy.randomness() {
            RandomnessRule::Beacon { chain, .. } => (chain.chain, Digest32::default()),
            RandomnessRule::Verifier { verifier } => (Digest32::default(), *verifier),
            RandomnessRule::SelfCheck => (Digest32::default(), Digest32::default()),
        };
        match (self.nonce, self.issued, self.beacon_value, self.round) {
            (Some(value), Some(issued), ..) => Revealed::Nonce { verifier: named_verifier, issued, value },
            (.., Some(value), Some(round)) => Revealed::Round { chain: named_chain, round, value },
            _ => Revealed::Nothing,
        }
    }
}

fn failed(failure: impl Into<AuditFailure>) -> CliError {
    CliError::Audit(Box::new(failure.into()))
}

impl Answer<'_> {
    fn claims(&self) -> Value {
        let grade = self.policy.randomness().grade();
        let leaf = |(stratum, draw, leaf): &(u8, u32, DrawnLeaf)| {
            let key: Map<String, Value> =
                leaf.key.parts().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let (rows, columns) = leaf.entries;
            json!({
                "stratum": stratum, "draw": draw, "weight": weight_name(leaf.weight), "amount": Flops(leaf.amount),
                "unit": leaf.unit, "operation": leaf.operation, "part": leaf.part, "key": key,
                "rows": rows, "columns": columns,
            })
        };
        json!({
            "policy_digest": self.policy.digest(),
            "window": self.args.window,
            "window_root": self.published,
            "is_salted": self.args.secret.is_some(),
            "flop": self.window.root().sums.flops(),
            "links": self.window.root().sums.links(),
            "uncovered_operations": self.uncovered,
            "randomness": grade.as_str(),
            "is_a_sample": grade.is_a_sample(),
            "seed": self.window.seed().digest(),
            "not_checked": self.not_checked(),
            "draws": self.leaves.iter().map(leaf).collect::<Vec<_>>(),
        })
    }

    /// What this command leaves to others, in words.
    fn not_checked(&self) -> Vec<&'static str> {
        let randomness = match self.policy.randomness() {
            RandomnessRule::Beacon { .. } => "that the round's output is the beacon's",
            RandomnessRule::Verifier { .. } => "that the nonce is the verifier's",
            RandomnessRule::SelfCheck => "that nobody tried other traces or salts until the draws pleased",
        };
        vec![randomness, "that a quoted head holds the window's root", "whether a drawn tile was computed right"]
    }

    fn text(&self) -> String {
        let sums = self.window.root().sums;
        let mut text = format!(
            "commit     window {}, root {}\n           {} FLOP, {} entries of links, {} operations that no rule covers\n\
             challenge  {}, seed {}\n",
            self.args.window,
            self.published,
            sums.flops(),
            sums.links(),
            self.uncovered,
            self.policy.randomness().grade().as_str(),
            self.window.seed().digest()
        );
        if self.args.secret.is_none() {
            text.push_str("           not salted: publish no such root\n");
        }
        for (_, draw, leaf) in &self.leaves {
            let [(_, attempt), (_, step), (_, rank), (_, micro), (_, operation), (_, row), (_, col)] = leaf.key.parts();
            text.push_str(&format!(
                "draw       {} {draw}: attempt {attempt}, step {step}, rank {rank}, micro-batch {micro}, operation \
                 {operation}, tile {row},{col}: {}\n",
                weight_name(leaf.weight),
                leaf.amount
            ));
        }
        for what in self.not_checked() {
            text.push_str(&format!("not checked: {what}\n"));
        }
        text
    }
}
