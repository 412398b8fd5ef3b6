use std::collections::BTreeMap;
use weighbridge_audit::*;
use weighbridge_tests::tiles::*;

#[test]
fn explore() {
    for step in captured_steps() {
        let format = step.products[0].a.format;
        let policy = OperationPolicy::of(format, format);
        for product in &step.products {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            let (mut wide, mut squares, mut n, mut worst, mut inf) = (0, 0, 0, 0, 0);
            let (mut signed, mut outward) = (0, 0);
            for place in product.places(16) {
                let (a, b, c) = product.tile(16, place);
                let key = match check_tile(&a, &b, &c, &policy) {
                    TileVerdict::Accepted(f) => {
                        wide += usize::from(f.is_wide);
                        squares += f.squares;
                        n += u64::from(f.entries);
                        inf += f.informative;
                        worst = worst.max(f.worst);
                        signed += f.signed;
                        outward += f.outward;
                        "ok".to_owned()
                    }
                    TileVerdict::Refused(r) => format!("{r}"),
                    TileVerdict::NotProven(r) => format!("{r:?}").chars().take(20).collect(),
                };
                *counts.entry(key).or_default() += 1;
            }
            println!(
                "{} {} K={} wide {wide} ms {:.3} worst {worst} inf {:.3} signed {signed} outward {outward} n {n} {counts:?}",
                step.name,
                product.name,
                product.k(),
                squares as f64 / 65536.0 / n as f64,
                f64::from(inf) / n as f64
            );
        }
    }
}
