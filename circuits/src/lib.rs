//! **Duty.** The statements that can be proven, and nothing else. **Knows** numbers, Poseidon and plonky2.
//! **Does not know** TEEs, files or the network: a circuit knows numbers, not who signed them.
//! **Spec.** PROTOCOL §4, CIRCUITS §1, 4, 7. docs/CONSTRAINTS.md lists every constraint with the test that breaks it.

mod aggregation;
mod error;
mod gadgets;
mod gates;
mod meter;
mod state;
mod statement;
#[cfg(test)]
mod testing;
mod threshold;
pub use error::{ProofError, ProveError};
pub use statement::{CircuitId, Violation};
pub use state::{ChainClaim, ChainList};
pub use threshold::{Component, MAX_RELATIONS, Relation, ThresholdPublic, TotalRelation};

#[cfg(test)]
mod probe {
    use crate::aggregation::*;
    use crate::meter::*;
    use crate::state::*;
    use crate::statement::*;
    use crate::threshold::*;
    use std::time::Instant;
    use weighbridge_attest_types::*;

    #[expect(clippy::disallowed_methods, reason = "probe")]
    fn now() -> Instant { Instant::now() }
    fn rss() -> String {
        let s = std::fs::read_to_string("/proc/self/status").unwrap();
        s.lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS")).collect::<Vec<_>>().join(" ")
    }
    fn cpu() -> f64 {
        let s = std::fs::read_to_string("/proc/self/stat").unwrap();
        let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
        (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
    }
    fn leaf<const S: usize>(full: bool) -> (Circuit<Meter<S>>, Transition, Proven) {
        let (t, c) = (now(), cpu());
        let circuit = Circuit::<Meter<S>>::build(&());
        println!("leaf {S}: rows {} degree {} gates {:?} build {:?} cpu {}", circuit.rows, circuit.data.common.degree_bits(), circuit.data.common.gates.len(), t.elapsed(), cpu() - c);
        let row = |i: u64| MeterRow { reading: [1000 + i, 999_999_999, 7, i], salt: [i, 1, 2, 3], public: [i, 5, 6, 7, 8] };
        let segments = (0..if full { S } else { 2 }).map(|s| Segment { begins: (s == 0).then(PoseidonDigest::default), rows: (0..64).map(row).collect(), ends: s == S - 1 }).collect();
        let witness = MeterWitness { from: State::initial(Digest32([1; 32])), segments };
        let public = witness.transition().unwrap();
        for _ in 0..2 {
        let (t, c) = (now(), cpu());
        let mut assignment = Assignment::new();
        Meter::<S>::assign(&circuit.targets, &public, &witness, &mut assignment).unwrap();
        let proof = circuit.data.prove(assignment).unwrap();
        println!("leaf {S} prove {:?} cpu {:.2} intervals/cpu-s {:.0} {} bytes {}", t.elapsed(), cpu() - c, (S * 64) as f64 / (cpu() - c), rss(), proof.to_bytes().len());
        }
        let mut assignment = Assignment::new();
        Meter::<S>::assign(&circuit.targets, &public, &witness, &mut assignment).unwrap();
        let proof = circuit.data.prove(assignment).unwrap();
        circuit.data.verify(proof.clone()).unwrap();
        (circuit, public, proof)
    }

    #[test]
    fn probe_leafs() {
        leaf::<11>(true);
        leaf::<48>(true);
        leaf::<96>(true);
    }

    #[test]
    fn probe_tree() {
        let (circuit, transition, proof) = leaf::<11>(true);
        let (t, c) = (now(), cpu());
        let shape = Shape::new();
        println!("shape {:?} cpu {} {:?}", t.elapsed(), cpu() - c, shape.common().gates);
        let (t, c) = (now(), cpu());
        let wrap = Circuit::<Wrap<11, 64>>::build(&(shape.clone(), circuit.data.verifier_data()));
        println!("wrap rows {} build {:?} {}", wrap.rows, t.elapsed(), cpu() - c);
        assert_eq!(&wrap.data.common, shape.common());
        let (t, c) = (now(), cpu());
        let fold = Circuit::<Fold>::build(&shape);
        println!("fold rows {} build {:?} {}", fold.rows, t.elapsed(), cpu() - c);
        assert_eq!(&fold.data.common, shape.common());
        let elements = [key_elements(&wrap.data.verifier_only), key_elements(&fold.data.verifier_only)];
        let keys = KeySet::of(elements.iter().map(Vec::as_slice));
        let step = Step { transition, keys: keys.root() };
        let mut assignment = Assignment::new();
        let (t, c) = (now(), cpu());
        Wrap::<11, 64>::assign(&wrap.targets, &step, &proof, &mut assignment).unwrap();
        let wrapped = wrap.data.prove(assignment).unwrap();
        println!("wrap prove {:?} cpu {:.2} {} bytes {}", t.elapsed(), cpu() - c, rss(), wrapped.to_bytes().len());
        wrap.data.verify(wrapped.clone()).unwrap();
        let (t, c) = (now(), cpu());
        let threshold = Circuit::<Threshold>::build(&Trusted { shape: shape.clone(), root: keys.root() });
        println!("threshold rows {} degree {} build {:?} {}", threshold.rows, threshold.data.common.degree_bits(), t.elapsed(), cpu() - c);
        println!("{}", rss());
    }
}
