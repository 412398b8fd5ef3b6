//! **Duty.** A whole run under development roots, made in milliseconds from the simulator and the ledger's own head
//! functions, without daemon, clock or files. It obeys no rule by itself: scenarios can misbehave in one place and
//! stay consistent everywhere else, as an operator with the node's key could.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ring::signature::{Ed25519KeyPair, KeyPair};
use weighbridge_appraisal::StatementSubject;
use weighbridge_attest_collect::{Collector, collect_set};
use weighbridge_attest_types::{
    BeaconToken, Binding, Bundle, Canonical, ChainStart, Challenge, CheckpointRoots, DeviceMillis, DeviceTime,
    Digest32, EvidenceSet, Flops, IntervalPublic, LedgerEntry, Member, NodeKey, NodeLedger, PoseidonDigest, Presence,
    QuotedHead, Reading, RosterDevice, RosterRow, RunManifest, Signature64, SignedNonce, SignedReceipt, UnixMillis,
    WitnessRow, device_set_digest, entry_signing_bytes, sha256, timestamp_imprint,
};
use weighbridge_circuits::{
    ChainWitness, LeafChoice, Prover, Relation, ThresholdProof, ThresholdPublic, TotalRelation, Weighed,
};
use weighbridge_commitments::commit_spec;
use weighbridge_ledger::{CheckedLedger, head_0, meter_commitment, next_head};
use weighbridge_tests_simulator::{SimulatedNode, World};

/// Start of every sample run: 2026-11-01T00:00:00Z.
pub const SAMPLE_START: UnixMillis = UnixMillis(1_793_491_200_000);
/// Length of a sample interval in milliseconds.
pub const SAMPLE_INTERVAL: u64 = 2_000;
/// The authority's clock reads this much before the run's first and after its last interval.
const BRACKET_SLACK: u64 = 500;

/// One node of a sample run, under its newest key.
#[derive(Debug)]
pub struct SampleNode {
    /// The platform it runs on.
    pub platform: SimulatedNode,
    /// Its ledger so far.
    pub ledger: NodeLedger,
    /// Heads: `heads[i]` after entry i, `heads[0]` = head_0.
    pub heads: Vec<PoseidonDigest>,
    /// Openings of the meter commitments.
    pub rows: Vec<WitnessRow>,
    /// Head evidence by index.
    pub evidence: BTreeMap<u64, EvidenceSet>,
    /// The key quote.
    pub key_set: EvidenceSet,
    /// *Not before*.
    pub nonce: SignedNonce,
    /// *Not after*.
    pub receipt: Option<SignedReceipt>,
    /// Instead of the nonce.
    pub beacon: Option<BeaconToken>,
    /// Beside the receipt or instead of it.
    pub timestamp: Option<Vec<u8>>,
    key: Ed25519KeyPair,
    pending_quote: Option<QuotedHead>,
    /// Wall clock where this boot's monotonic clock is 0.
    booted: UnixMillis,
    index: u32,
}

/// A run of several nodes.
#[derive(Debug)]
pub struct SampleRun {
    /// The simulated vendors.
    pub world: World,
    /// What was announced.
    pub manifest: RunManifest,
    /// The nodes, in roster order.
    pub nodes: Vec<SampleNode>,
    /// What nodes were before a reboot: roster row and chain, in the order of the reboots.
    pub earlier: Vec<(usize, SampleNode)>,
    /// Answers to the draws of its audit, if it is audited.
    pub answers: Option<Vec<u8>>,
}

impl SampleRun {
    /// Nodes with key quotes under fresh nonces and one manifest; no interval yet.
    #[must_use]
    pub fn begin(seed: u64, nodes: u32, gpus: u32) -> Self {
        Self::begin_with(seed, nodes, gpus, |platform| platform, |_| ())
    }

    /// [`SampleRun::begin`] with platforms and the manifest changed before anything depends on them.
    #[must_use]
    pub fn begin_with(
        seed: u64,
        nodes: u32,
        gpus: u32,
        platform: impl Fn(SimulatedNode) -> SimulatedNode,
        change: impl FnOnce(&mut RunManifest),
    ) -> Self {
        let world = World::new(seed, SAMPLE_START);
        let mut nodes: Vec<_> = (0..nodes)
            .map(|index| introduce(&world, platform(world.node(index, gpus)), index, 0, SAMPLE_START))
            .collect();
        let mut manifest = sample_manifest(nodes.iter().map(roster_row).collect());
        change(&mut manifest);
        for (node, row) in nodes.iter_mut().zip(&manifest.roster) {
            node.restart(manifest.genesis(), row, None);
        }
        Self { world, manifest, nodes, earlier: Vec::new(), answers: None }
    }

    /// The run that scenarios start from: two nodes with one GPU each, 30 intervals, quotes every 10, receipts.
    #[must_use]
    pub fn honest() -> Self {
        let mut run = Self::begin(7, 2, 1);
        for _ in 0..3 {
            run.advance(10);
            run.quote_all();
        }
        run.receipts();
        run
    }

    /// The run in which node 1 went down for three seconds after its 12th interval, of which ten are quoted.
    #[must_use]
    pub fn rebooted() -> Self {
        let mut run = Self::begin(7, 2, 1);
        run.advance(10);
        run.quote_all();
        run.advance(2);
        run.reboot(1, 3_000);
        run.advance(10);
        run.quote_all();
        run.receipts();
        run
    }

    /// Reboots a node: a new key, whose chain cites the last quoted head of the one before it.
    pub fn reboot(&mut self, node: usize, down_millis: u64) {
        let previous = &self.nodes[node];
        let last = previous.evidence.keys().last().and_then(|&index| usize::try_from(index).ok());
        let quoted = last.and_then(|index| previous.heads.get(index).copied());
        let booted = UnixMillis(previous.wall_end().0 + down_millis);
        let generation = 1 + self.earlier.len();
        let mut next = introduce(&self.world, previous.platform.clone(), previous.index, generation, booted);
        next.restart(self.manifest.genesis(), &self.manifest.roster[node], quoted);
        let previous = std::mem::replace(&mut self.nodes[node], next);
        self.earlier.push((node, previous));
    }

    /// All chains with the folders in which a bundle holds them, in a bundle's order.
    pub fn chains(&self) -> impl Iterator<Item = (String, &SampleNode)> {
        self.nodes.iter().enumerate().flat_map(|(row, newest)| {
            let earlier = self.earlier.iter().filter(move |(of, _)| *of == row).map(|(_, chain)| chain);
            earlier.chain(std::iter::once(newest)).enumerate().map(move |(place, chain)| match place {
                0 => (format!("node/{row:04}"), chain),
                _ => (format!("node/{row:04}/after/{place:04}"), chain),
            })
        })
    }

    /// Seals this many intervals on every node.
    pub fn advance(&mut self, intervals: u64) {
        for _ in 0..intervals {
            self.nodes.iter_mut().for_each(|node| node.seal(|_| ()));
        }
    }

    /// Quotes the last head of every node.
    pub fn quote_all(&mut self) {
        self.nodes.iter_mut().for_each(SampleNode::quote);
    }

    /// Has every key quoted anew under a beacon round; the run starts again from the new roster.
    ///
    /// # Panics
    /// When a simulated platform does not answer.
    pub fn answer_beacon(&mut self, round: &BeaconToken) {
        for node in &mut self.nodes {
            let binding = Binding::key(node.node_key().digest(), Challenge::BeaconRound(round.randomness()));
            node.key_set = collect_set(&node.platform, binding).expect("a simulated platform answers");
            node.beacon = Some(round.clone());
        }
        self.manifest.roster = self.nodes.iter().map(roster_row).collect();
        for (node, row) in self.nodes.iter_mut().zip(&self.manifest.roster) {
            node.restart(self.manifest.genesis(), row, None);
        }
    }

    /// Hands every node a timestamp over its last head instead of a receipt.
    pub fn timestamps(&mut self) {
        let authority = self.world.timestamp_authority();
        for node in &mut self.nodes {
            let (index, head) = node.tip();
            let imprint = timestamp_imprint(node.node_key().digest(), index, head);
            node.timestamp = Some(authority.stamp(imprint, UnixMillis(node.wall_end().0 + BRACKET_SLACK)));
            node.receipt = None;
        }
    }

    /// Hands every node a receipt over its last head.
    pub fn receipts(&mut self) {
        let authority = self.world.time_authority();
        for node in &mut self.nodes {
            let (index, head) = node.tip();
            let received = UnixMillis(node.wall_end().0 + BRACKET_SLACK);
            node.receipt = Some(authority.receipt(received, node.node_key().digest(), index, head));
        }
    }

    /// Public exports, as the daemon writes them.
    #[must_use]
    pub fn exports(&self) -> Vec<Bundle> {
        self.chains().map(|(_, chain)| chain.export(&self.manifest)).collect()
    }

    /// Private openings, as the prover wants them.
    #[must_use]
    pub fn witnesses(&self) -> Vec<ChainWitness> {
        self.chains().map(|(_, chain)| chain.witness()).collect()
    }

    /// Proves `declared ≤ bound`.
    ///
    /// # Panics
    /// When the relation does not hold.
    #[must_use]
    pub fn prove(&self, bound: Flops) -> ThresholdProof {
        self.prove_as(&[TotalRelation::declared(Relation::Le(bound))], self.context())
    }

    /// Proves relations in a context, which need not be this run's.
    ///
    /// # Panics
    /// When a relation does not hold.
    #[must_use]
    pub fn prove_as(&self, relations: &[TotalRelation], context: Digest32) -> ThresholdProof {
        let chains = self.witnesses();
        let weighed = Weighed::of(self.manifest.genesis(), &chains).expect("openings add up");
        let public = weighed.statement(relations, context).expect("a true statement");
        prove_statement(&weighed, public)
    }

    /// What a proof about this run binds beside its chains.
    ///
    /// # Panics
    /// When a ledger does not hold together.
    #[must_use]
    pub fn context(&self) -> Digest32 {
        let ledgers = self.chains().map(|(_, chain)| CheckedLedger::check(&chain.ledger));
        let ledgers: Vec<CheckedLedger> = ledgers.collect::<Result<_, _>>().expect("ledgers hold together");
        StatementSubject::of(&self.manifest, &ledgers.iter().collect::<Vec<_>>()).context()
    }

    /// An instant at which all endorsements hold.
    #[must_use]
    pub fn appraisal_instant(&self) -> UnixMillis {
        UnixMillis(SAMPLE_START.0 + 3_600_000)
    }
}

impl SampleNode {
    /// The node's key.
    #[must_use]
    pub fn node_key(&self) -> NodeKey {
        node_key(&self.key)
    }

    /// Index and head of the last entry.
    #[must_use]
    pub fn tip(&self) -> (u64, PoseidonDigest) {
        (self.ledger.entries.len() as u64, self.heads.last().copied().unwrap_or_default())
    }

    /// End of the last interval on the wall clock.
    #[must_use]
    pub fn wall_end(&self) -> UnixMillis {
        self.ledger.entries.last().map_or(self.booted, |entry| entry.public.end_wall)
    }

    /// Starts the chain anew under a genesis.
    pub fn restart(&mut self, genesis: Digest32, row: &RosterRow, predecessor: Option<PoseidonDigest>) {
        let device_set = device_set_digest(&row.device_set());
        let start = ChainStart { genesis, node_key: self.node_key(), device_set, predecessor };
        self.heads = vec![head_0(&start)];
        self.ledger = NodeLedger { start, entries: Vec::new() };
        self.rows.clear();
        self.evidence.clear();
        self.pending_quote = None;
    }

    /// Seals one interval, its public facts changed by `change` before anything is hashed or signed.
    pub fn seal(&mut self, change: impl FnOnce(&mut IntervalPublic)) {
        let public = {
            let mut public = self.next_public();
            change(&mut public);
            public
        };
        let index = self.ledger.entries.len() as u64 + 1;
        let reading = Reading::new(3 + index % 2, 500_000_000, 0, 0).expect("in range");
        let salt = sha256(&[&self.node_key().0[..], &index.to_le_bytes()].concat()).0;
        let row = WitnessRow { reading, salt: salt[..28].try_into().expect("28 bytes") };
        let meter = meter_commitment(&row.reading, &row.salt);
        let (_, previous) = self.tip();
        let head = next_head(public.index, previous, meter, public.digest());
        let signed = entry_signing_bytes(self.ledger.start.genesis, public.index, head);
        let signature = Signature64(self.key.sign(&signed).as_ref().try_into().expect("64 bytes"));
        self.ledger.entries.push(LedgerEntry { public, meter, signature });
        self.heads.push(head);
        self.rows.push(row);
        self.pending_quote = None;
    }

    /// Quotes the last head.
    pub fn quote(&mut self) {
        let (index, head) = self.tip();
        let binding = Binding::head(self.ledger.start.genesis, self.node_key().digest(), head, index, Challenge::None);
        let set = collect_set(&self.platform, binding).expect("a simulated platform answers");
        self.keep_quote(index, set);
    }

    /// Keeps a set as the quote over an index, whatever it is about, and names it in the next interval.
    pub fn keep_quote(&mut self, index: u64, set: EvidenceSet) {
        self.pending_quote = Some(QuotedHead { index, evidence: sha256(&set.to_bytes()) });
        self.evidence.insert(index, set);
    }

    /// The private openings.
    #[must_use]
    pub fn witness(&self) -> ChainWitness {
        let publics = self.ledger.entries.iter().map(|entry| entry.public.digest()).collect();
        ChainWitness { start: self.heads[0], publics, rows: self.rows.clone() }
    }

    fn next_public(&self) -> IntervalPublic {
        let index = self.ledger.entries.len() as u64 + 1;
        let start = self.ledger.entries.last().map_or(0, |entry| entry.public.end_mono);
        let end = start + SAMPLE_INTERVAL;
        let time = |identity: weighbridge_attest_collect::DeviceIdentity| DeviceTime {
            device: identity.device,
            run: DeviceMillis(SAMPLE_INTERVAL),
            other: DeviceMillis(0),
            idle: DeviceMillis(0),
            gap: DeviceMillis(0),
        };
        let devices = self.platform.devices().expect("simulated devices");
        IntervalPublic {
            index,
            boot_id: [self.node_key().0[0]; 16],
            start_wall: UnixMillis(self.booted.0 + start),
            end_wall: UnixMillis(self.booted.0 + end),
            start_mono: start,
            end_mono: end,
            presence: Presence::from_bits(weighbridge_attest_types::PRESENT_DECLARED).expect("a known bit"),
            devices: devices.into_iter().map(time).collect(),
            checkpoints: Vec::new(),
            windows: Vec::new(),
            quoted: self.pending_quote,
        }
    }

    /// The public export of this chain.
    #[must_use]
    pub fn export(&self, manifest: &RunManifest) -> Bundle {
        let mut export = Bundle::new_export();
        let mut put = |name: String, bytes| export.insert(Member { name, bytes }).expect("a lawful member");
        put("run-manifest".to_owned(), manifest.to_bytes());
        put("ledger".to_owned(), self.ledger.to_bytes());
        put("evidence/key".to_owned(), self.key_set.to_bytes());
        for (index, set) in &self.evidence {
            put(format!("evidence/{index:08}"), set.to_bytes());
        }
        match &self.beacon {
            Some(beacon) => put("time/beacon".to_owned(), beacon.to_bytes()),
            None => put("time/nonce".to_owned(), self.nonce.to_bytes()),
        }
        if let Some(timestamp) = &self.timestamp {
            put("time/timestamp".to_owned(), timestamp.clone());
        }
        if let Some(receipt) = &self.receipt {
            put("time/receipt".to_owned(), receipt.to_bytes());
        }
        export
    }
}

/// All pieces of a proof, one after the other; circuits are built once in a process.
fn prove_statement(weighed: &Weighed<'_>, public: ThresholdPublic) -> ThresholdProof {
    static PROVER: OnceLock<Prover> = OnceLock::new();
    let prover = PROVER.get_or_init(|| Prover::new().expect("shipped keys"));
    let plan = weighed.plan(&public, LeafChoice::Any, false).expect("a true statement");
    let mut proofs: Vec<Vec<u8>> = Vec::new();
    for job in plan.jobs() {
        let inputs: Vec<&[u8]> = job.inputs.iter().map(|&input| proofs[input].as_slice()).collect();
        proofs.push(prover.prove(&plan, job, &inputs).expect("a true statement"));
    }
    ThresholdProof { public, proof: proofs.pop().expect("a last piece") }
}

fn node_key(key: &Ed25519KeyPair) -> NodeKey {
    NodeKey(key.public_key().as_ref().try_into().expect("32 bytes"))
}

fn introduce(world: &World, platform: SimulatedNode, index: u32, generation: usize, booted: UnixMillis) -> SampleNode {
    let seed = sha256(&[b"sample node key".as_slice(), &index.to_le_bytes(), &generation.to_le_bytes()].concat());
    let key = Ed25519KeyPair::from_seed_unchecked(&seed.0).expect("any seed");
    let nonce = world.time_authority().issue_nonce(UnixMillis(booted.0 - BRACKET_SLACK));
    let challenge = Challenge::VerifierNonce(nonce.nonce);
    let binding = Binding::key(node_key(&key).digest(), challenge);
    let key_set = collect_set(&platform, binding).expect("a simulated platform answers");
    let start = ChainStart {
        genesis: Digest32::default(),
        node_key: node_key(&key),
        device_set: Digest32::default(),
        predecessor: None,
    };
    SampleNode {
        platform,
        ledger: NodeLedger { start, entries: Vec::new() },
        heads: Vec::new(),
        rows: Vec::new(),
        evidence: BTreeMap::new(),
        key_set,
        nonce,
        receipt: None,
        beacon: None,
        timestamp: None,
        key,
        pending_quote: None,
        booted,
        index,
    }
}

fn roster_row(node: &SampleNode) -> RosterRow {
    let cpu = node.platform.cpu().expect("a simulated CPU");
    let devices = node.platform.devices().expect("simulated devices").into_iter();
    let device = |identity: weighbridge_attest_collect::DeviceIdentity| RosterDevice {
        device: identity.device,
        kind: identity.kind,
        sku: identity.name,
    };
    RosterRow {
        node_key: node.node_key(),
        key_quote: sha256(&node.key_set.to_bytes()),
        cpu_kind: cpu.kind,
        cpu: cpu.device,
        devices: devices.map(device).collect(),
    }
}

fn sample_manifest(roster: Vec<RosterRow>) -> RunManifest {
    RunManifest {
        provider: "Example Provider".to_owned(),
        model_id: "sample-model".to_owned(),
        phase: "pre-training".to_owned(),
        roster,
        spec: commit_spec(&[5; 28], b"sample spec"),
        dataset_root: sha256(b"sample data"),
        order_rule: "sequential".to_owned(),
        initial_checkpoint: CheckpointRoots {
            fast_root: sha256(b"sample checkpoint"),
            algebraic_root: PoseidonDigest::from_elements([1, 2, 3, 4]).expect("small elements"),
        },
        interval_millis: SAMPLE_INTERVAL,
        numeric_policy: "sample".to_owned(),
        audit_policy: "none".to_owned(),
        randomness_rule: "none".to_owned(),
        profiles: vec!["demo".to_owned()],
    }
}
