//! What scenarios over whole bundles share: the anchors of a simulated world, and assembling a run under them.

use weighbridge_appraisal::{AssembleParts, assemble};
use weighbridge_attest::{built_in_anchors, parse_anchor_file};
use weighbridge_attest_types::{Bundle, Flops, NodeWitness, TrustAnchors};
use weighbridge_tests::{SampleNode, SampleRun};
use weighbridge_tests_simulator::World;

/// The bound of the demonstration profile.
pub(crate) const BOUND: Flops = Flops(1_000_000_000_000_000_000);

/// Vendor roots and the development roots of a world.
pub(crate) fn anchors_of(world: &World) -> TrustAnchors {
    let mut anchors = built_in_anchors();
    for file in world.trust_roots() {
        parse_anchor_file(&file.bytes, &mut anchors).expect("an anchor file");
    }
    anchors
}

/// A run's bundle, with or without a proof that the declared total is at most [`BOUND`].
pub(crate) fn assembled(run: &SampleRun, proven: bool) -> Result<Bundle, String> {
    assembled_with(run, proven, None, false)
}

/// The same with a provider's statement, or with all readings shown.
pub(crate) fn assembled_with(
    run: &SampleRun,
    proven: bool,
    declarations: Option<Vec<u8>>,
    open: bool,
) -> Result<Bundle, String> {
    let reading = |node: &SampleNode| NodeWitness { node_key: node.node_key(), rows: node.rows.clone() };
    let parts = AssembleParts {
        exports: run.exports(),
        endorsements: run.world.endorsements(),
        proof: proven.then(|| run.prove(BOUND)),
        readings: run.nodes.iter().filter(|_| open).map(reading).collect(),
        declarations,
        answers: run.answers.clone(),
        at: run.appraisal_instant(),
        anchors: anchors_of(&run.world),
    };
    assemble(parts).map_err(|error| error.to_string())
}

/// The endorsement of a bundle that is the collateral of its TDX platforms; the others are manifests.
pub(crate) fn collateral_of(bundle: &Bundle) -> String {
    let mut endorsements = bundle.iter().filter(|(name, _)| name.starts_with("endorsements/"));
    let found = endorsements.find(|(_, bytes)| bytes.first() == Some(&b'{'));
    found.expect("collateral is JSON").0.to_owned()
}
