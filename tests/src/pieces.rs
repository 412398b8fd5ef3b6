//! **Duty.** Proves generated ledgers piece by piece and says what each piece took: what benchmarks, the simulation of
//! scale and the calibration share. **Knows** processor time of this process. **Does not know** real nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weighbridge_attest_types::{Digest32, Flops, PoseidonDigest, Reading, WitnessRow, sha256};
use weighbridge_circuits::{
    ChainWitness, Job, JobId, JobKind, LeafChoice, Plan, Prover, Relation, ThresholdProof, TotalRelation, Weighed,
};

/// The run that generated chains belong to.
const GENESIS: Digest32 = Digest32([0x77; 32]);

/// Pieces made so far, each under its name, and the processor time that each took.
#[derive(Debug)]
pub struct Pieces {
    prover: Prover,
    kept: BTreeMap<JobId, Vec<u8>>,
    taken: BTreeMap<JobKind, Vec<Duration>>,
    /// What the first piece of a kind took beside its proof: building the circuit.
    built: BTreeMap<JobKind, Duration>,
    seen: BTreeSet<JobKind>,
}

/// A chain of generated readings: the same for the same number, of any length.
#[must_use]
pub fn generated_chain(number: u64, intervals: u64) -> ChainWitness {
    let start = PoseidonDigest::from_elements([number, 1, 2, 3]).unwrap_or_default();
    let row = |interval: u64| {
        let salt = sha256(&[number.to_le_bytes(), interval.to_le_bytes()].concat()).0;
        let reading = Reading::new(1_000_000 + interval, 123_456_789, 900_000, 700 + interval % 5);
        WitnessRow { reading: reading.unwrap_or_default(), salt: std::array::from_fn(|byte| salt[byte]) }
    };
    let publics = (0..intervals).map(|interval| sha256(&interval.to_le_bytes())).collect();
    ChainWitness { start, publics, rows: (0..intervals).map(row).collect() }
}

impl Pieces {
    /// None yet.
    ///
    /// # Panics
    /// When the shipped keys do not parse.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making a prover reads the shipped keys")]
    pub fn new() -> Self {
        let prover = Prover::new().expect("shipped keys parse");
        Self { prover, kept: BTreeMap::new(), taken: BTreeMap::new(), built: BTreeMap::new(), seen: BTreeSet::new() }
    }

    /// Proves a statement about the declared total of these chains; pieces that are there are not made again.
    ///
    /// # Panics
    /// When a piece cannot be proven.
    pub fn prove(&mut self, chains: &[ChainWitness], leaves: LeafChoice, is_compact: bool) -> ThresholdProof {
        let weighed = Weighed::of(GENESIS, chains).expect("generated chains add up");
        let relation = TotalRelation::declared(Relation::Le(Flops(10u128.pow(26))));
        let public = weighed.statement(&[relation], Digest32([1; 32])).expect("a true statement");
        let plan = weighed.plan(&public, leaves, is_compact).expect("a true statement");
        for job in plan.jobs() {
            self.make(&plan, job);
        }
        let last = plan.jobs().last().expect("a last piece");
        ThresholdProof { public, proof: self.kept[&last.id].clone() }
    }

    /// Makes the first piece of a kind that a plan over these chains has, and what it needs, whether or not it is there.
    ///
    /// # Panics
    /// When there is none.
    pub fn measure(&mut self, chains: &[ChainWitness], kind: JobKind) -> Duration {
        let weighed = Weighed::of(GENESIS, chains).expect("generated chains add up");
        let relation = TotalRelation::declared(Relation::Le(Flops(10u128.pow(26))));
        let public = weighed.statement(&[relation], Digest32([1; 32])).expect("a true statement");
        let plan = weighed.plan(&public, LeafChoice::Any, kind == JobKind::Compact).expect("a true statement");
        let position = plan.jobs().iter().position(|job| job.kind == kind).expect("a plan with such a piece");
        let mut needed = vec![position];
        let mut order = Vec::new();
        while let Some(next) = needed.pop() {
            order.push(next);
            needed.extend(&plan.jobs()[next].inputs);
        }
        order.sort_unstable();
        order.pop();
        order.into_iter().for_each(|input| self.make(&plan, &plan.jobs()[input]));
        self.time(&plan, &plan.jobs()[position])
    }

    /// Processor time of the proofs of one kind.
    #[must_use]
    pub fn taken(&self, kind: JobKind) -> &[Duration] {
        self.taken.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Processor time of building a circuit, about.
    #[must_use]
    pub fn built(&self, kind: JobKind) -> Option<Duration> {
        self.built.get(&kind).copied()
    }

    fn make(&mut self, plan: &Plan<'_>, job: &Job) {
        if !self.kept.contains_key(&job.id) {
            self.time(plan, job);
        }
    }

    /// The first time of a kind builds its circuit, so that it is made twice.
    fn time(&mut self, plan: &Plan<'_>, job: &Job) -> Duration {
        let first = self.seen.insert(job.kind).then(|| self.prove_one(plan, job));
        let took = self.prove_one(plan, job);
        if let Some(first) = first {
            self.built.insert(job.kind, first.saturating_sub(took));
        }
        self.taken.entry(job.kind).or_default().push(took);
        took
    }

    fn prove_one(&mut self, plan: &Plan<'_>, job: &Job) -> Duration {
        let inputs: Vec<&[u8]> = job.inputs.iter().map(|&input| self.kept[&plan.jobs()[input].id].as_slice()).collect();
        let before = processor_time();
        let proof = self.prover.prove(plan, job, &inputs).expect("a true statement");
        let took = processor_time().saturating_sub(before);
        self.kept.insert(job.id, proof);
        took
    }
}

/// Processor time of this process over all its threads, by the kernel's account: hundredths of a second.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, which may hold anything: user and system ticks are the 12th and 13th field.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Largest resident size of this process so far, in bytes.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn peak_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel's account");
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kibibytes * 1024
}
