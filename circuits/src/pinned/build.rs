//! **Duty.** Builds every circuit of the catalog from nothing and compares it with what is pinned.

use plonky2::util::serialization::DefaultGateSerializer;

use super::pin;
use crate::aggregation::{Fold, Shape, Wrap};
use crate::compact::{Compact, compact_config};
use crate::meter::{LONG_SEGMENTS, Meter, SHORT_SEGMENTS};
use crate::proving::FoldedKeys;
use crate::statement::{Circuit, Statement};
use crate::threshold::{Threshold, Trusted};
use crate::{CATALOG, JobKind};

fn pin_circuit<S: Statement>(kind: JobKind, circuit: &Circuit<S>) {
    assert_eq!(S::ID, kind.circuit());
    assert_eq!(circuit.data.common.degree_bits(), kind.rows_log(), "{}", S::ID);
    pin(&format!("{}.description", S::ID), circuit.describe().as_bytes());
}

fn pin_key<S: Statement>(circuit: &Circuit<S>) {
    let key = circuit.data.verifier_data().to_bytes(&DefaultGateSerializer).expect("writes to memory");
    pin(&format!("{}.verifier", S::ID), &key);
}

#[test]
fn circuits_and_keys_are_pinned() {
    let shape = Shape::new();
    let long = Circuit::<Meter<LONG_SEGMENTS>>::build(&());
    pin_circuit(JobKind::MeterLong, &long);
    let wrap_long = Circuit::<Wrap<LONG_SEGMENTS, 64>>::build(&(shape.clone(), long.data.verifier_data()));
    drop(long);
    let short = Circuit::<Meter<SHORT_SEGMENTS>>::build(&());
    pin_circuit(JobKind::MeterShort, &short);
    let wrap_short = Circuit::<Wrap<SHORT_SEGMENTS, 64>>::build(&(shape.clone(), short.data.verifier_data()));
    pin_circuit(JobKind::WrapLong, &wrap_long);
    pin_circuit(JobKind::WrapShort, &wrap_short);
    let fold = Circuit::<Fold>::build(&shape);
    pin_circuit(JobKind::Fold, &fold);
    // One shape, to the last gate: else a fold could not verify what it is given.
    for common in [&wrap_long.data.common, &wrap_short.data.common, &fold.data.common] {
        assert_eq!(common, shape.common());
    }
    pin_key(&wrap_long);
    pin_key(&wrap_short);
    pin_key(&fold);
    let keys =
        FoldedKeys::of(wrap_long.data.verifier_data(), wrap_short.data.verifier_data(), fold.data.verifier_data());
    let threshold = Circuit::<Threshold>::build(&Trusted { shape, root: keys.root });
    pin_circuit(JobKind::Threshold, &threshold);
    pin_key(&threshold);
    let compact = Circuit::<Compact>::build_with(compact_config(), &threshold.data.verifier_data());
    pin_circuit(JobKind::Compact, &compact);
    pin_key(&compact);
    assert_eq!(CATALOG.len(), JobKind::ALL.len());
}
