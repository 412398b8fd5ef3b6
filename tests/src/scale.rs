//! **Duty.** The simulation of scale behind docs/scale.md: real proofs of generated ledgers for a sample, and arithmetic
//! for clusters, in columns of their own. **Knows** how leaves, wraps and folds count. **Does not know** any cluster.
//! **Spec.** Decision 0055; LIMITATIONS.md says what the arithmetic leaves out.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use weighbridge_circuits::{CATALOG, JobKind, LeafChoice, check_threshold};

use crate::pieces::{Pieces, generated_chain, peak_memory, processor_time};

/// The tables stand after this line of docs/scale.md,
pub const BEGIN: &str = "<!-- scale: written by `just scale` -->";
/// and end before this one.
pub const END: &str = "<!-- end of scale -->";
const PAGE: &str = "docs/scale.md";

/// Segments of a long leaf, and intervals of a segment (decision 0055).
const LEAF_SEGMENTS: u64 = 96;
const SEGMENT_INTERVALS: u64 = 64;
/// What the smallest cluster takes: it is proven whole.
const WHOLE: Cluster = Cluster { nodes: 10, minutes: 10 };
const DAYS: u64 = 90;
/// Short leaves of the trees that are proven whole, and intervals of one.
const TREES: [u64; 4] = [1, 4, 16, 64];
const SHORT_INTERVALS: u64 = 11 * SEGMENT_INTERVALS;
/// How often a proof is checked; the middle one counts.
const CHECKS: usize = 21;

/// Nodes that weigh for ninety days.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    nodes: u64,
    /// Length of an interval.
    minutes: u64,
}

const CLUSTERS: [Cluster; 6] = [
    WHOLE,
    Cluster { nodes: 10, minutes: 1 },
    Cluster { nodes: 1_000, minutes: 10 },
    Cluster { nodes: 1_000, minutes: 1 },
    Cluster { nodes: 10_000, minutes: 10 },
    Cluster { nodes: 10_000, minutes: 1 },
];

/// What was proven from end to end, and what it took.
struct Proven {
    cluster: Duration,
    trees: Vec<Tree>,
}

/// The published proof over so many leaves.
struct Tree {
    leaves: u64,
    bytes: usize,
    checked: Duration,
}

/// Processor time of one proof of each kind, the mean of a sample.
struct Sample {
    taken: Vec<(JobKind, usize, Duration, Option<Duration>)>,
}

impl Cluster {
    const fn intervals_of_a_chain(self) -> u64 {
        DAYS * 24 * 60 / self.minutes
    }

    /// Each chain ends with a segment of its own; a long leaf holds segments of several chains.
    const fn leaves(self) -> u64 {
        (self.nodes * self.intervals_of_a_chain().div_ceil(SEGMENT_INTERVALS)).div_ceil(LEAF_SEGMENTS)
    }
}

impl Sample {
    fn of(pieces: &Pieces) -> Self {
        let mean = |kind| {
            let taken = pieces.taken(kind);
            let count = u32::try_from(taken.len()).ok().filter(|count| *count > 0)?;
            Some((kind, taken.len(), taken.iter().sum::<Duration>() / count, pieces.built(kind)))
        };
        Self { taken: JobKind::ALL.into_iter().filter_map(mean).collect() }
    }

    fn mean(&self, kind: JobKind) -> Duration {
        self.taken.iter().find(|(found, ..)| *found == kind).map(|(_, _, mean, _)| *mean).unwrap_or_default()
    }

    /// Processor time of a run with so many long leaves.
    fn processor(&self, leaves: u64) -> Duration {
        let body = self.mean(JobKind::MeterLong) + self.mean(JobKind::WrapLong);
        let seconds = body.as_secs_f64() * leaves as f64 + self.mean(JobKind::Fold).as_secs_f64() * (leaves - 1) as f64;
        Duration::from_secs_f64(seconds) + self.mean(JobKind::Threshold)
    }

    /// From beginning to end: leaves and folds side by side, then one fold for each level of the tree that cannot fill
    /// the cores, then the threshold. One proof is taken to keep one core busy, which is the slowest case.
    fn wall(&self, leaves: u64, cores: u64) -> Duration {
        let side_by_side = self.processor(leaves).as_secs_f64() / cores as f64;
        let levels = f64::from(cores.min(leaves).max(1).ilog2());
        let last = self.mean(JobKind::Fold).as_secs_f64() * levels + self.mean(JobKind::Threshold).as_secs_f64();
        Duration::from_secs_f64(side_by_side + last)
    }
}

fn bytes_of(leaves: u64) -> u64 {
    let of =
        |kind: JobKind| CATALOG.iter().find(|entry| entry.id == kind.circuit()).map_or(0, |entry| entry.proof_bytes);
    let body = (of(JobKind::MeterLong) + of(JobKind::WrapLong)) as u64;
    leaves * body + (leaves - 1) * of(JobKind::Fold) as u64 + of(JobKind::Threshold) as u64
}

/// The program: `weighbridge-scale` proves a sample, `weighbridge-scale --whole` the smallest cluster and four trees from
/// end to end as well; both write the page.
#[must_use]
pub fn main() -> ExitCode {
    let is_whole = std::env::args().nth(1).is_some_and(|argument| argument == "--whole");
    match write(is_whole) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(is_whole: bool) -> Result<(), Box<dyn Error>> {
    let mut pieces = Pieces::new();
    // Two long leaves and a fold; memory is looked at before the compact form, which has a figure of its own.
    pieces.prove(&[generated_chain(0, 2 * LEAF_SEGMENTS * SEGMENT_INTERVALS)], LeafChoice::Any, false);
    let proven = is_whole.then(|| Proven { cluster: cluster(&mut pieces), trees: trees(&mut pieces) });
    let worker = peak_memory();
    pieces.prove(&[generated_chain(0, 64)], LeafChoice::Any, true);
    let text = page(&Sample::of(&pieces), worker, peak_memory(), proven.as_ref());
    print!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let whole = std::fs::read_to_string(&path)?;
    let (before, rest) = whole.split_once(BEGIN).ok_or("docs/scale.md has no marker for the tables")?;
    let (_, after) = rest.split_once(END).ok_or("docs/scale.md has no end marker for the tables")?;
    std::fs::write(path, format!("{before}{BEGIN}\n{text}{END}{after}"))?;
    Ok(())
}

/// The smallest cluster from end to end.
fn cluster(pieces: &mut Pieces) -> Duration {
    let chains: Vec<_> = (0..WHOLE.nodes).map(|node| generated_chain(node, WHOLE.intervals_of_a_chain())).collect();
    let before = processor_time();
    pieces.prove(&chains, LeafChoice::Any, false);
    processor_time().saturating_sub(before)
}

#[expect(clippy::disallowed_methods, reason = "this program measures")]
fn trees(pieces: &mut Pieces) -> Vec<Tree> {
    let tree = |leaves: u64| {
        let proof = pieces.prove(&[generated_chain(1, leaves * SHORT_INTERVALS)], LeafChoice::Short, false);
        let check = |_| {
            let before = Instant::now();
            check_threshold(&proof.public, &proof.proof).expect("a proof that holds");
            before.elapsed()
        };
        let mut checks: Vec<_> = (0..CHECKS).map(check).collect();
        checks.sort_unstable();
        Tree { leaves, bytes: proof.proof.len(), checked: checks[CHECKS / 2] }
    };
    TREES.into_iter().map(tree).collect()
}

fn page(sample: &Sample, worker: u64, compact: u64, whole: Option<&Proven>) -> String {
    let mut text = format!(
        "{}, {}: processor time of one proof, measured.\n\n\
         | circuit | rows | proofs | one proof | circuit built, once | proof |\n|---|---|---|---|---|---|\n",
        time::OffsetDateTime::now_utc().date(),
        crate::figures::processor(),
    );
    for (kind, count, mean, built) in &sample.taken {
        let entry = CATALOG.iter().find(|entry| entry.id == kind.circuit());
        let built = built.map_or_else(|| "–".to_owned(), |built| format!("{:.1} s", built.as_secs_f64()));
        let (rows, bytes) = (kind.rows_log(), entry.map_or(0, |entry| entry.proof_bytes));
        let _ = writeln!(
            text,
            "| {} | 2^{rows} | {count} | {:.2} s | {built} | {bytes} bytes |",
            kind.circuit(),
            mean.as_secs_f64()
        );
    }
    if let Some(proven) = whole {
        text.push_str(&said_of(proven));
    }
    let mib = |bytes: u64| bytes >> 20;
    let _ = write!(
        text,
        "\nPeak memory of one process with one piece at a time: {} MiB; with the compact form: {} MiB.\n\n\
         | nodes | interval | intervals | long leaves | proven in full (measured) | core-hours (arithmetic) | \
         pieces on disk | 64 cores | 1,024 cores |\n|---|---|---|---|---|---|---|---|---|\n",
        mib(worker),
        mib(compact)
    );
    for cluster in CLUSTERS {
        let leaves = cluster.leaves();
        let is_whole = cluster.nodes == WHOLE.nodes && cluster.minutes == WHOLE.minutes;
        let proven = whole.filter(|_| is_whole);
        let proven = proven.map_or_else(|| "–".to_owned(), |whole| format!("{:.3} core-hours", hours(whole.cluster)));
        let _ = writeln!(
            text,
            "| {} | {} min | {} | {leaves} | {proven} | {:.2} | {:.2} GB | {} | {} |",
            cluster.nodes,
            cluster.minutes,
            cluster.nodes * cluster.intervals_of_a_chain(),
            hours(sample.processor(leaves)),
            bytes_of(leaves) as f64 / 1e9,
            said(sample.wall(leaves, 64)),
            said(sample.wall(leaves, 1_024)),
        );
    }
    text
}

/// What was proven from end to end, in words and a table.
fn said_of(proven: &Proven) -> String {
    let intervals = WHOLE.nodes * WHOLE.intervals_of_a_chain();
    let mut text = format!(
        "\n{intervals} intervals of {} nodes, from end to end: {:.0} intervals a second of processor time, leaves, wraps, \
         folds and the threshold proof.\n\n| short leaves | published proof | checked in |\n|---|---|---|\n",
        WHOLE.nodes,
        intervals as f64 / proven.cluster.as_secs_f64()
    );
    for tree in &proven.trees {
        let millis = tree.checked.as_secs_f64() * 1e3;
        let _ = writeln!(text, "| {} | {} bytes | {millis:.1} ms |", tree.leaves, tree.bytes);
    }
    text
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3_600.0
}

fn said(time: Duration) -> String {
    match time.as_secs() {
        0..=299 => format!("{} s", time.as_secs()),
        300..=7_199 => format!("{} min", time.as_secs().div_ceil(60)),
        _ => format!("{:.1} h", hours(time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_count_their_leaves() {
        // 12,960 intervals are 203 segments; ten chains have 2,030, and a leaf holds 96.
        assert_eq!((WHOLE.intervals_of_a_chain(), WHOLE.leaves()), (12_960, 22));
        assert_eq!(Cluster { nodes: 10_000, minutes: 1 }.leaves(), 210_938);
    }

    #[test]
    fn arithmetic_adds_up() {
        let second = Duration::from_secs(1);
        let all = JobKind::ALL.map(|kind| (kind, 1, second, None)).to_vec();
        let sample = Sample { taken: all };
        assert_eq!(sample.processor(10), Duration::from_secs(10 + 10 + 9 + 1));
        assert_eq!(sample.wall(10, 2), Duration::from_secs(15 + 1 + 1));
        assert_eq!(sample.wall(1, 64), Duration::from_secs_f64(3.0 / 64.0 + 1.0));
    }
}
