//! Breakers of evidence, devices and policy.

use weighbridge_tests_simulator::{CollateralOptions, PlatformTcb, SimulatedNode, TdxOptions};

use super::*;

#[test]
fn breaker_evidence_index_by_a_replayed_quote() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let old = node.evidence[&10].clone();
        node.keep_quote(20, old);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-index"]);
}

#[test]
fn breaker_evidence_genuine_by_a_replayed_quote_under_a_new_binding() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let old = node.evidence[&10].clone();
        let set = EvidenceSet { binding: node.evidence[&20].binding.clone(), ..old };
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_evidence_genuine_by_a_replayed_gpu_report() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let binding = node.evidence[&20].binding.clone();
        let devices = node.evidence[&10].devices.clone();
        let cpu = node.platform.quote(binding.report_data(device_evidence_digest(&devices))).expect("quote");
        node.keep_quote(20, EvidenceSet { binding, cpu, devices });
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_evidence_genesis_by_a_quote_of_another_run() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let old = node.evidence[&20].binding.clone();
        let binding = Binding { genesis: Digest32([9; 32]), ..old };
        let set = weighbridge_attest_collect::collect_set(&node.platform, binding).expect("set");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genesis"]);
}

#[test]
fn breaker_evidence_node_key_by_a_quote_for_another_key() {
    let run = misbehaving(|run| {
        let other = run.nodes[0].node_key().digest();
        let node = &mut run.nodes[1];
        let old = node.evidence[&20].binding.clone();
        let binding = Binding { node_key_digest: other, ..old };
        let set = weighbridge_attest_collect::collect_set(&node.platform, binding).expect("set");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-node-key"]);
}

#[test]
fn breaker_evidence_stage_by_a_key_quote_in_place_of_a_head_quote() {
    let run = misbehaving(|run| {
        let node = &mut run.nodes[1];
        let set = node.key_set.clone();
        node.keep_quote(20, set);
    });
    let outcome = verified(&resealed(&run));
    assert!(outcome.failures().any(|check| check.code == "evidence-stage"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_key_quote_roster() {
    let run = SampleRun::begin_with(
        7,
        2,
        1,
        |platform| platform,
        |manifest| manifest.roster[1].key_quote = Digest32([1; 32]),
    );
    refused(&finished(run), Culprit::Untrusted, &["key-quote-roster"]);
}

#[test]
fn breaker_evidence_cpu_by_another_platform() {
    // The quote of node 0's CPU over node 1's binding: genuine, but another platform than the roster's.
    let run = misbehaving(|run| {
        let platform = run.nodes[0].platform.clone();
        let node = &mut run.nodes[1];
        let EvidenceSet { binding, devices, .. } = node.evidence[&20].clone();
        let cpu = platform.quote(binding.report_data(device_evidence_digest(&devices))).expect("quote");
        node.keep_quote(20, EvidenceSet { binding, cpu, devices });
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-cpu"]);
}

#[test]
fn breaker_evidence_genuine_by_one_bit() {
    let bundle = changed("node/0001/evidence/00000030", |set: &mut EvidenceSet| set.cpu.body[200] ^= 1);
    // Head 30 is the last, so that no interval names its digest: only the signature can tell.
    refused(&bundle, Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_evidence_genuine_by_one_gpu_answering_for_two() {
    let run = misbehaving(|run| {
        let gpu = run.nodes[0].platform.gpus()[0].clone();
        let node = &mut run.nodes[1];
        let mut set = node.evidence[&20].clone();
        let claimed = set.devices[0].device;
        let mut report = gpu.evidence(set.binding.gpu_nonce(claimed).0);
        report.device = claimed;
        set.devices = vec![report];
        set.cpu = node.platform.quote(set.binding.report_data(device_evidence_digest(&set.devices))).expect("quote");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_evidence_devices_by_one_gpu_on_two_nodes() {
    let run = misbehaving(|run| {
        let gpu = run.nodes[0].platform.gpus()[0].clone();
        let node = &mut run.nodes[1];
        let mut set = node.evidence[&20].clone();
        set.devices = vec![gpu.evidence(set.binding.gpu_nonce(gpu.device()).0)];
        set.cpu = node.platform.quote(set.binding.report_data(device_evidence_digest(&set.devices))).expect("quote");
        node.keep_quote(20, set);
    });
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-devices"]);
}

#[test]
fn breaker_evidence_devices_by_a_device_missing_from_the_evidence() {
    let mut run = SampleRun::begin(7, 2, 2);
    run.advance(30);
    run.quote_all();
    let node = &mut run.nodes[1];
    let mut set = node.evidence[&30].clone();
    set.devices.pop();
    set.cpu = node.platform.quote(set.binding.report_data(device_evidence_digest(&set.devices))).expect("quote");
    node.keep_quote(30, set);
    run.receipts();
    refused(&resealed(&run), Culprit::Untrusted, &["evidence-devices"]);
}

#[test]
fn breaker_evidence_devices_by_a_device_missing_from_the_roster() {
    let drop_one = |manifest: &mut RunManifest| {
        manifest.roster[1].devices.pop();
    };
    let run = SampleRun::begin_with(7, 2, 2, |platform| platform, drop_one);
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"evidence-devices"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_evidence_devices_by_a_device_added_to_the_roster() {
    let add_one = |manifest: &mut RunManifest| {
        let mut extra = manifest.roster[1].devices[0].clone();
        extra.device = Device(Digest32([0xee; 32]));
        manifest.roster[1].devices.push(extra);
        manifest.roster[1].devices.sort_by_key(|row| row.device);
    };
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform, add_one);
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.contains(&"evidence-devices"), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_manifest_by_one_device_in_two_rows() {
    let twice = |manifest: &mut RunManifest| {
        manifest.roster[1].devices[0].device = manifest.roster[0].devices[0].device;
    };
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform, twice);
    let outcome = verified(&finished(run));
    assert!(outcome.failures().any(|check| check.code == "manifest"));
    assert_eq!(outcome.culprit(), Some(Culprit::Malformed));
}

#[test]
fn breaker_evidence_head_by_a_forked_ledger() {
    // Two branches after head 20: the ledger shows one, the quote over head 30 is about the other.
    let run = misbehaving(|_| ());
    let mut other = misbehaving(|run| run.nodes[1].seal(|public| public.presence = Presence::default()));
    let mut bundle = resealed(&run);
    let foreign = other.nodes[1].evidence.remove(&31).expect("the other branch's last quote");
    let binding = Binding { index: 30, ..foreign.binding };
    let set = weighbridge_attest_collect::collect_set(&other.nodes[1].platform, binding).expect("set");
    bundle.replace("node/0001/evidence/00000030", Some(set.to_bytes()));
    refused(&bundle, Culprit::Untrusted, &["evidence-head"]);
}

#[test]
fn breaker_policy_debug() {
    let run = SampleRun::begin_with(7, 2, 1, |platform| platform.with_debug(true), |_| ());
    let outcome = verified(&finished(run));
    let codes: Vec<_> = outcome.failures().map(|check| check.code).collect();
    assert!(codes.iter().all(|code| *code == "policy-debug") && !codes.is_empty(), "{codes:?}");
    assert_eq!(outcome.culprit(), Some(Culprit::Rejected));
}

#[test]
fn breaker_evidence_genuine_by_expired_endorsements() {
    let month = 40 * 24 * 3_600_000;
    let bundle = changed("appraised-at", |at: &mut UnixMillis| at.0 += month);
    let outcome = verified(&bundle);
    assert!(outcome.failures().any(|check| check.code == "evidence-genuine"));
    assert_eq!(outcome.culprit(), Some(Culprit::Untrusted));
}

#[test]
fn breaker_evidence_genuine_without_endorsements() {
    let mut bundle = honest().plain.clone();
    bundle.replace(&collateral_of(&bundle), None);
    let outcome = verified(&bundle);
    assert!(outcome.failures().all(|check| check.code == "evidence-genuine"));
    assert_eq!(outcome.culprit(), Some(Culprit::Unavailable));
}

/// A run whose second node's platform is replaced.
fn second_platform(replace: impl Fn(&World, SimulatedNode) -> SimulatedNode) -> SampleRun {
    let world = World::new(7, SAMPLE_START);
    let first = world.node(0, 1).platform().device();
    let platform = |node: SimulatedNode| if node.platform().device() == first { node } else { replace(&world, node) };
    SampleRun::begin_with(7, 2, 1, platform, |_| ())
}

#[test]
fn breaker_devices_distinct_by_one_machine_in_two_rows() {
    // The manifest refuses to name a device twice; the certificates show the same by themselves.
    let run = second_platform(|world, _| world.node(0, 1));
    refused(&finished(run), Culprit::Malformed, &["devices-distinct", "manifest"]);
}

#[test]
fn breaker_policy_tcb_status_by_an_old_platform() {
    let run = second_platform(|world, _| world.node_with_tcb(1, 1, PlatformTcb::OUT_OF_DATE));
    refused(&finished(run), Culprit::Rejected, &["policy-tcb-status"]);
}

#[test]
fn breaker_policy_sept_ve_disable() {
    let run = second_platform(|_, node| {
        let options = TdxOptions { sept_ve_disable: false, ..node.options().clone() };
        node.with_options(options)
    });
    refused(&finished(run), Culprit::Rejected, &["policy-sept-ve-disable"]);
}

#[test]
fn breaker_policy_migratable() {
    let run = second_platform(|_, node| {
        let options = TdxOptions { migratable: true, ..node.options().clone() };
        node.with_options(options)
    });
    refused(&finished(run), Culprit::Rejected, &["policy-migratable"]);
}

#[test]
fn breaker_evidence_genuine_by_a_revoked_platform() {
    let run = SampleRun::honest();
    let revoked = vec![run.nodes[1].platform.platform().pck_serial()];
    let options = CollateralOptions { revoked, ..run.world.collateral_options() };
    let mut bundle = honest().plain.clone();
    bundle.replace(&collateral_of(&bundle), Some(run.world.collateral_json_with(&options)));
    refused(&bundle, Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn breaker_evidence_genuine_by_a_revocation_list_from_the_future() {
    let run = SampleRun::honest();
    let later = UnixMillis(run.appraisal_instant().0 + 60_000);
    let options = CollateralOptions { crl_issued: later, ..run.world.collateral_options() };
    let mut bundle = honest().plain.clone();
    bundle.replace(&collateral_of(&bundle), Some(run.world.collateral_json_with(&options)));
    refused(&bundle, Culprit::Untrusted, &["evidence-genuine"]);
}

#[test]
fn a_node_without_accelerators_leaves_every_verdict_unknown() {
    // It cannot be told from a node whose image hides them.
    let mut run = second_platform(|world, _| world.node(1, 0));
    run.advance(30);
    run.quote_all();
    run.receipts();
    let outcome = verified(&assembled(&run, false).expect("assembles"));
    let unknown = outcome.checks.iter().filter(|check| check.status == CheckStatus::Unknown);
    assert!(unknown.into_iter().any(|check| check.code == "ceiling-rate" && check.path == "node/0001"));
    let report = outcome.report.expect("nothing failed");
    assert!(report.profiles.iter().all(|line| line.verdict == weighbridge_attest_types::Verdict::Unknown));
}
