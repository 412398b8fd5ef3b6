//! **Duty.** What a plan will take: rows, processor time, memory, bytes. **Knows** the calibration table. **Does not
//! know** this machine: figures are those of the machine it was measured on, and are printed as estimates.

use std::time::Duration;

use weighbridge_circuits::{CATALOG, JobKind, Plan};

/// One circuit, measured on 2 cores of an EPYC (Zen 4) with the prover of this version; the first table of docs/scale.md
/// (`just scale`) is measured anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calibration {
    pub(super) kind: JobKind,
    /// Processor milliseconds of one proof,
    pub(super) prove_millis: u64,
    /// and of building the circuit, once for each process.
    pub(super) build_millis: u64,
    /// MiB that the circuit keeps once it is built,
    pub(super) circuit_mib: u64,
    /// and that one proof takes while it is made.
    pub(super) proof_mib: u64,
}

const fn row(kind: JobKind, prove: u64, build: u64, circuit_mib: u64, proof_mib: u64) -> Calibration {
    Calibration { kind, prove_millis: prove, build_millis: build, circuit_mib, proof_mib }
}

pub(super) const CALIBRATION: [Calibration; 7] = [
    row(JobKind::MeterLong, 9_900, 5_600, 400, 760),
    row(JobKind::MeterShort, 1_200, 650, 50, 100),
    row(JobKind::WrapLong, 2_500, 1_300, 110, 190),
    row(JobKind::WrapShort, 2_500, 1_300, 110, 190),
    row(JobKind::Fold, 2_600, 1_350, 110, 190),
    row(JobKind::Threshold, 5_500, 2_800, 220, 420),
    row(JobKind::Compact, 22_000, 9_000, 900, 1_900),
];

/// Of what every process takes besides: the program, the openings of small runs.
const BASE_MIB: u64 = 64;
const MIB: u64 = 1024 * 1024;

/// What a plan will take, by the calibration table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Pieces of each circuit, inner ones first; those without a piece are left out.
    pub(crate) pieces: Vec<(JobKind, usize)>,
    /// Rows of all circuits, each as often as it is proven.
    pub(crate) rows: u64,
    /// Processor time of all proofs and of building the circuits once.
    pub(crate) processor: Duration,
    /// From beginning to end on this many threads.
    pub(crate) wall: Duration,
    /// Pieces at a time that the memory allows.
    pub(crate) workers: usize,
    /// Memory at its peak, in bytes.
    pub(crate) memory: u64,
    /// Bytes of all finished pieces.
    pub(crate) bytes: u64,
}

pub(super) fn calibration(kind: JobKind) -> Calibration {
    // The table has a row for each circuit (tests); the largest stands for one that it would lack.
    CALIBRATION.into_iter().find(|row| row.kind == kind).unwrap_or(CALIBRATION[6])
}

impl Estimate {
    pub(super) fn of(plan: &Plan<'_>, memory: u64, most_workers: usize, cores: usize) -> Self {
        let count = |kind| plan.jobs().iter().filter(|job| job.kind == kind).count();
        let pieces = JobKind::ALL.map(|kind| (kind, count(kind)));
        let pieces: Vec<_> = pieces.into_iter().filter(|(_, count)| *count > 0).collect();
        Self::of_pieces(pieces, memory, most_workers, cores)
    }

    /// The same for numbers of pieces, however many.
    pub(super) fn of_pieces(pieces: Vec<(JobKind, usize)>, memory: u64, most_workers: usize, cores: usize) -> Self {
        let sum = |of: fn(Calibration) -> u64| {
            pieces.iter().map(|&(kind, count)| of(calibration(kind)) * count as u64).sum::<u64>()
        };
        let build: u64 = pieces.iter().map(|&(kind, _)| calibration(kind).build_millis).sum();
        let prove = sum(|row| row.prove_millis);
        let kinds: Vec<JobKind> = pieces.iter().map(|&(kind, _)| kind).collect();
        let (circuits, largest) = (circuits_bytes(&kinds), largest_proof_bytes(&kinds));
        let fits = memory.saturating_sub(circuits) / largest.max(1);
        let all: usize = pieces.iter().map(|&(_, count)| count).sum();
        let workers = usize::try_from(fits).unwrap_or(usize::MAX).clamp(1, most_workers.min(all).max(1));
        // The last pieces follow one another, each on all cores as far as it goes.
        let threads = cores.max(1) as u64;
        let tail: u64 = kinds.iter().filter(|kind| **kind >= JobKind::Threshold).map(|&k| latency(k, threads)).sum();
        let body = (prove + build).saturating_sub(published(&pieces)) / threads;
        Self {
            rows: sum(|row| 1 << row.kind.rows_log()),
            processor: Duration::from_millis(prove + build),
            wall: Duration::from_millis(body + tail),
            workers,
            memory: circuits + largest * workers as u64,
            bytes: pieces.iter().map(|&(kind, count)| piece_bytes(kind) * count as u64).sum(),
            pieces,
        }
    }

    /// What even one piece at a time takes.
    pub(super) fn least_memory(plan: &Plan<'_>) -> u64 {
        let mut kinds: Vec<JobKind> = plan.jobs().iter().map(|job| job.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        circuits_bytes(&kinds) + largest_proof_bytes(&kinds)
    }
}

/// Most threads that one proof keeps busy: the rest of its work is done by one after another.
const THREADS_OF_ONE: u64 = 8;

fn latency(kind: JobKind, threads: u64) -> u64 {
    let row = calibration(kind);
    (row.prove_millis + row.build_millis) / threads.min(THREADS_OF_ONE)
}

fn published(pieces: &[(JobKind, usize)]) -> u64 {
    let published = pieces.iter().filter(|(kind, _)| *kind >= JobKind::Threshold);
    published.map(|&(kind, _)| calibration(kind).prove_millis + calibration(kind).build_millis).sum()
}

/// All circuits stay once they were needed.
pub(super) fn circuits_bytes(kinds: &[JobKind]) -> u64 {
    (BASE_MIB + kinds.iter().map(|&kind| calibration(kind).circuit_mib).sum::<u64>()) * MIB
}

pub(super) fn proof_bytes(kind: JobKind) -> u64 {
    calibration(kind).proof_mib * MIB
}

fn largest_proof_bytes(kinds: &[JobKind]) -> u64 {
    kinds.iter().map(|&kind| proof_bytes(kind)).max().unwrap_or_default()
}

/// A piece's file: its name and its proof.
fn piece_bytes(kind: JobKind) -> u64 {
    let entry = CATALOG.iter().find(|entry| entry.id == kind.circuit());
    32 + entry.map_or(0, |entry| entry.proof_bytes as u64)
}

/// A length of time as one says it: two units at most.
pub(crate) fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", (seconds + 30) / 60),
        7_200..=172_799 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_circuit_has_its_row_once() {
        let kinds: Vec<JobKind> = CALIBRATION.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, JobKind::ALL);
    }

    #[test]
    fn memory_decides_how_many_pieces_are_made_at_a_time() {
        let pieces =
            vec![(JobKind::MeterLong, 10), (JobKind::WrapLong, 10), (JobKind::Fold, 9), (JobKind::Threshold, 1)];
        let of = |memory| Estimate::of_pieces(pieces.clone(), memory * MIB, 16, 16);
        let kinds: Vec<JobKind> = pieces.iter().map(|&(kind, _)| kind).collect();
        let least = (circuits_bytes(&kinds) + proof_bytes(JobKind::MeterLong)) / MIB;
        assert_eq!(of(least).workers, 1);
        let one_more = calibration(JobKind::MeterLong).proof_mib;
        assert_eq!(of(least + one_more).workers, 2);
        assert_eq!(of(1 << 20).workers, 16);
        assert!(of(least).memory <= least * MIB);
        assert!(of(least + one_more).memory > of(least).memory);
        // More cores, less time; never less than the pieces that follow one another.
        let on = |cores| Estimate::of_pieces(pieces.clone(), 1 << 40, cores, cores);
        assert!(on(2).wall > on(64).wall && on(64).wall >= Duration::from_millis(latency(JobKind::Threshold, 64)));
        assert_eq!(on(2).processor, on(64).processor);
    }

    #[test]
    fn times_are_said_in_two_units() {
        let said: Vec<String> = [7, 150, 7_265, 200_000].map(|seconds| rough(Duration::from_secs(seconds))).to_vec();
        assert_eq!(said, ["7 s", "3 min", "2 h 1 min", "2 days 7 h"]);
    }
}
