//! Switches, and whole boards of GPUs and switches. No capture holds both sides of one board: these are simulated.

use weighbridge_attest::{Bound, NvidiaTopology, SwitchSide, compare_nvidia_topology, nvidia_topology, verify_set};
use weighbridge_attest_collect::collect_set;
use weighbridge_attest_types::{Binding, BoundValue, Challenge, Digest32, NvidiaMode, NvidiaPart, NvidiaStatus, Pdi};
use weighbridge_tests_simulator::{SimulatedSwitch, SwitchReportOptions};

use super::*;

fn verify_switch(
    world: &World,
    switch: &SimulatedSwitch,
    endorsements: &[Vec<u8>],
    change: impl Fn(&mut SwitchReportOptions),
) -> Verdict {
    let mut options = switch.options().clone();
    change(&mut options);
    let report = switch.report_with(&options, NONCE);
    let raw = RawEvidence { body: &report, certificates: switch.certificates() };
    verify(&EvidenceKind::new("nvidia-nvswitch"), raw, endorsements, &anchors_of(world), NOW)
}

#[track_caller]
fn codes(verdict: Verdict) -> Vec<&'static str> {
    let error = verdict.unwrap_err();
    assert_eq!(error.culprit(), Culprit::Untrusted, "{error}");
    error.failures().iter().map(|failure| failure.code).collect()
}

#[test]
fn a_switch_is_judged_by_its_own_manifest_and_names_itself() {
    let world = World::new(41, NOW);
    let switch = world.switch(0, 0);
    let rim = [world.rim_signer().rim(&world.switch_rim())];
    let judged =
        |files: &[Vec<u8>], change: &dyn Fn(&mut SwitchReportOptions)| verify_switch(&world, &switch, files, change);
    let claims = judged(&rim, &|_| {}).unwrap().claims().clone();
    let own = claims.nvidia.as_deref().unwrap();
    assert_eq!((own.reference_values.status(), own.reference_values.matched), (ReferenceStatus::Matched, 31));
    assert_eq!(own.switch().unwrap().pdi, Some(Pdi(switch.pdi())));
    let open: Vec<&str> = claims.not_checked.iter().map(|open| open.code.as_str()).collect();
    assert_eq!(open, ["switch-fwid", "switch-ocsp"]);
    let missing = judged(&[], &|_| {}).unwrap().claims().clone();
    assert_eq!(missing.not_checked[1].code, "switch-rim");
    assert_eq!(codes(judged(&rim, &|options| options.pdi = Some([9; 8]))), ["switch-pdi-differs"]);
    let older = judged(&rim, &|options| options.bios_version = "96.10.00.00.01".to_owned());
    assert_eq!(codes(older), ["rim-version"]);
    let differs = judged(&rim, &|options| options.measurements[30] = [1; 48]).unwrap().claims().clone();
    assert_eq!(differs.nvidia.unwrap().reference_values.mismatch_indexes(), [30]);
    // A manifest with an index that no switch has: nothing there is not as it should be.
    let mut wide = world.switch_rim();
    wide.resources[31].active = true;
    let wide = judged(&[world.rim_signer().rim(&wide)], &|_| {}).unwrap().claims().clone();
    let difference = &wide.nvidia.unwrap().reference_values.differences[0];
    assert_eq!((difference.index, difference.found), (31, None));
    let blocks = judged(&rim, &|options| options.measurements.truncate(30)).unwrap_err();
    assert_eq!((blocks.culprit(), blocks.code()), (Culprit::Malformed, "switch-report"));
    // A GPU's chain makes no switch.
    let (report, gpu) = (switch.report_with(switch.options(), NONCE), world.gpu(0, 0));
    let raw = RawEvidence { body: &report, certificates: gpu.certificates() };
    let error = verify(&EvidenceKind::new("nvidia-nvswitch"), raw, &[], &anchors_of(&world), NOW).unwrap_err();
    assert!(error.failures().contains("switch-chain-names") && error.failures().contains("switch-signature"));
}

/// What the members of a board say before they are signed.
struct Board {
    world: World,
    gpus: Vec<GpuReportOptions>,
    switches: Vec<SwitchReportOptions>,
}

impl Board {
    /// Eight GPUs and four switches that name each other.
    fn new() -> Self {
        let world = World::new(41, NOW);
        let (gpus, switches): (Vec<_>, Vec<_>) =
            ((0..8).map(|slot| world.gpu(0, slot)).collect(), (0..4).map(|slot| world.switch(0, slot)).collect());
        let names: Vec<[u8; 8]> = switches.iter().map(SimulatedSwitch::pdi).collect();
        let members: Vec<[u8; 8]> = gpus.iter().map(weighbridge_tests_simulator::SimulatedGpu::pdi).collect();
        let gpu = |gpu: &weighbridge_tests_simulator::SimulatedGpu| GpuReportOptions {
            protected_pcie: true,
            switches: names.clone(),
            ..gpu.options().clone()
        };
        let switch =
            |switch: &SimulatedSwitch| SwitchReportOptions { gpus: members.clone(), ..switch.options().clone() };
        let (gpus, switches) = (gpus.iter().map(gpu).collect(), switches.iter().map(switch).collect());
        Self { world, gpus, switches }
    }

    fn members(&self) -> Vec<Bound<PlatformClaims>> {
        let bind = |verdict: Verdict| verdict.unwrap().bind(&BoundValue::Nonce(NONCE)).unwrap();
        let anchors = anchors_of(&self.world);
        let gpus = (0..).zip(&self.gpus).map(|(slot, options)| {
            let gpu = self.world.gpu(0, slot);
            let report = gpu.report_with(options, NONCE);
            let raw = RawEvidence { body: &report, certificates: gpu.certificates() };
            bind(verify(&EvidenceKind::new("nvidia-gpu"), raw, &[], &anchors, NOW))
        });
        let switches = (0..).zip(&self.switches).map(|(slot, options)| {
            bind(verify_switch(&self.world, &self.world.switch(0, slot), &[], |all| *all = options.clone()))
        });
        gpus.chain(switches).collect()
    }

    fn topology(&self) -> Result<NvidiaTopology, EvidenceError> {
        nvidia_topology(&self.members())
    }
}

fn broken(change: impl FnOnce(&mut Board)) -> Vec<&'static str> {
    let mut board = Board::new();
    change(&mut board);
    let error = board.topology().unwrap_err();
    assert_eq!(error.culprit(), Culprit::Untrusted);
    let mut codes: Vec<_> = error.failures().iter().map(|failure| failure.code).collect();
    codes.dedup();
    codes
}

#[test]
fn gpus_and_switches_that_name_each_other_are_one_fabric() {
    let topology = Board::new().topology().unwrap();
    assert_eq!((topology.mode, topology.switch_side), (Some(NvidiaMode::ProtectedPcie), SwitchSide::Checked));
    assert_eq!((topology.gpus.len(), topology.switches.len()), (8, 4));
    // The switches' own byte order is not known from captures: the other one will do, if it is the same for all.
    let turn = |options: &mut SwitchReportOptions| options.gpus.iter_mut().for_each(|pdi| pdi.reverse());
    let mut turned = Board::new();
    turned.switches.iter_mut().for_each(turn);
    assert!(turned.topology().is_ok());
    assert_eq!(broken(|board| turn(&mut board.switches[0])), ["topology-gpus"]);
    // Without switches their names are all that is known.
    let mut alone = Board::new();
    alone.switches.clear();
    let SwitchSide::NotGiven(named) = alone.topology().unwrap().switch_side else { panic!("checked") };
    assert_eq!(named.len(), 4);
    // GPUs that are passed through one by one need none.
    let mut single = Board::new();
    single.switches.clear();
    for gpu in &mut single.gpus {
        (gpu.protected_pcie, gpu.switches) = (false, Vec::new());
    }
    let topology = single.topology().unwrap();
    assert_eq!((topology.mode, topology.switch_side), (Some(NvidiaMode::SingleGpu), SwitchSide::NotNeeded));
    assert_eq!(nvidia_topology(&[]).unwrap().gpus, []);
    // A node's bound set answers the same question.
    let world = World::new(41, NOW);
    let binding = Binding::key(Digest32([2; 32]), Challenge::VerifierNonce(Digest32([9; 32])));
    let set = collect_set(&world.node(0, 3), binding).unwrap();
    let bound = verify_set(&set, &world.endorsements(), &anchors_of(&world), NOW).unwrap();
    let topology = bound.nvidia_topology().unwrap();
    assert_eq!((topology.gpus.len(), topology.switch_side), (3, SwitchSide::NotNeeded));
}

/// A status that is neither on nor off says nothing about a fabric, whatever else the report says.
#[test]
fn a_status_without_a_meaning_is_no_fabric() {
    let mut open = Board::new();
    open.switches.clear();
    for gpu in &mut open.gpus {
        (gpu.protected_pcie, gpu.switches) = (false, Vec::new());
    }
    let mut claims: Vec<PlatformClaims> = open.members().iter().map(|bound| bound.claims().clone()).collect();
    assert!(compare_nvidia_topology(claims.iter()).is_ok());
    let NvidiaPart::Gpu(gpu) = &mut claims[3].nvidia.as_mut().expect("claims of the kind").part else {
        panic!("a GPU");
    };
    gpu.protected_pcie = Some(NvidiaStatus::Other(1));
    let error = compare_nvidia_topology(claims.iter()).unwrap_err();
    assert_eq!((error.culprit(), error.code()), (Culprit::Untrusted, "topology-mode"));
    assert!(error.to_string().contains("Other(1)"), "{error}");
}

#[test]
fn any_difference_makes_a_set_untrusted() {
    assert_eq!(broken(|board| board.gpus[3].switches[2] = [7; 8]), ["topology-switches"]);
    assert_eq!(broken(|board| board.gpus[3].switches.truncate(3)), ["topology-switches"]);
    assert_eq!(broken(|board| board.gpus[3].switches.clear()), ["topology-switches"]);
    // A GPU left out of the set shows at every switch, a switch left out at every GPU.
    assert_eq!(broken(|board| drop(board.gpus.pop())), ["topology-gpus"]);
    assert_eq!(broken(|board| drop(board.switches.pop())), ["topology-switches"]);
    assert_eq!(broken(|board| board.switches[1].gpus[0] = [7; 8]), ["topology-gpus"]);
    assert_eq!(broken(|board| board.switches[1].gpus.clear()), ["topology-gpus"]);
    for lock in [0, 2] {
        assert_eq!(broken(|board| board.switches[1].lock_status = lock), ["topology-unlocked"]);
    }
    let unprotected = broken(|board| (board.gpus[3].protected_pcie, board.gpus[3].mode) = (false, Some(2)));
    assert_eq!(unprotected, ["topology-protected-pcie"]);
    assert_eq!(broken(|board| board.gpus[3].mode = Some(1)), ["topology-mode"]);
    assert_eq!(broken(|board| board.gpus.iter_mut().for_each(|gpu| gpu.mode = Some(7))), ["topology-mode"]);
    // Field 36 does not take back what field 21 says, and a status without a meaning says nothing.
    for mode in [0, 1] {
        let open = broken(|board| {
            board.switches.clear();
            board.gpus.iter_mut().for_each(|gpu| gpu.mode = Some(mode));
        });
        assert_eq!(open, ["topology-mode"], "{mode}");
    }
    // Switches that no GPU names do not belong.
    let strangers = broken(|board| {
        for gpu in &mut board.gpus {
            (gpu.protected_pcie, gpu.switches) = (false, Vec::new());
        }
    });
    assert_eq!(strangers, ["topology-switches"]);
    let board = Board::new();
    let members = board.members();
    for again in [0, 11] {
        let mut twice = members.clone();
        twice.push(members[again].clone());
        assert_eq!(nvidia_topology(&twice).unwrap_err().code(), "topology-repeated");
    }
    let mut without = Board::new();
    without.switches.clear();
    without.gpus[0].switches[0] = [7; 8];
    assert_eq!(without.topology().unwrap_err().code(), "topology-switches");
}
