//! **Duty.** The sentences of a report that are the same for every run: warning, bases, assumptions, what is not proven.
//! **Knows** wording. **Does not know** how anything was checked. **Spec.** COMPUTE §9, §10 item 15; CIRCUITS §7.

use weighbridge_attest_types::{CoverageLine, Grade, SamplingLine, Sentence};

use super::rules;

use crate::text;
use crate::time::{CLOCK_SKEW_MILLIS, Period};

/// Empty unless something rests on a simulated anchor. The word is shown, and nothing else depends on it.
pub(super) fn warning(anchors: &[(Grade, &str)]) -> Sentence {
    let basis = ["field:/anchors", "check:evidence-genuine"];
    let simulated = anchors.iter().filter(|(grade, _)| *grade == Grade::Simulated);
    let simulated = simulated.map(|(_, name)| format!("`{name}`"));
    let names = text::list(simulated);
    if names.is_empty() {
        return Sentence::on(basis, "");
    }
    let text = format!(
        "SIMULATED: this report rests on development trust anchors ({names}); it says nothing about real hardware."
    );
    Sentence::on(basis, text)
}

pub(super) fn upper_basis(period: &Period, devices: usize, rate_bases: &[String]) -> Sentence {
    let basis = ["check:ceiling-rate", "check:devices-distinct", "field:/nodes", "field:/period", rules::DEVICE_TIME];
    let Some(millis) = period.millis() else {
        return Sentence::on(basis, "no period: nobody outside bounds the time, and the ledgers hold no intervals");
    };
    let (clock, condition) = match period {
        Period::External { .. } => ("of externally bracketed time", ""),
        Period::Host(_) => ("by the hosts' own clocks", ", if the host clock is true"),
    };
    let rates = if rate_bases.is_empty() { "no rate known".to_owned() } else { rate_bases.join("; ") };
    let text = format!("{devices} accelerators × {millis} ms {clock} × ceiling rate ({rates}), rounded up{condition}");
    Sentence::on(basis, text).and(["check:time-nonce-authority", "check:time-receipt-authority"])
}

const NO_AUDIT: &str = "no steps audited yet";
const NO_SAMPLE: &str = "no steps were sampled by anybody but the prover";

/// What the audit comes to.
pub(super) fn audit(sampling: Option<&SamplingLine>) -> Sentence {
    match sampling {
        None => Sentence::on(["field:/bracket/lower"], format!("{NO_AUDIT}: no operation is shown to be correct")),
        Some(line) => line.why.clone().and(["field:/sampling", "field:/bracket/lower"]),
    }
}

/// Why the lower figure is what it is.
pub(super) fn lower_basis(sampling: Option<&SamplingLine>) -> Sentence {
    Sentence::on(["field:/audit"], if sampling.is_some() { NO_SAMPLE } else { NO_AUDIT })
}

/// What the members show. Answers show more than verdicts.
pub(super) fn level_basis(basis: Sentence, sampling: Option<&SamplingLine>) -> Sentence {
    if !sampling.is_some_and(|line| line.answered) {
        return basis;
    }
    let text = format!(
        "{}; beside that, the answers of the audit show what its windows hold, the operations that were drawn and their tiles",
        basis.text
    );
    Sentence { text, ..basis }.and(["check:audit-answers", "field:/sampling"])
}

/// What to type to check everything again.
pub(super) fn verify_command(warning: &Sentence) -> String {
    let roots = if warning.is_empty() { "" } else { " --trust-roots DIR" };
    format!("weighbridge verify BUNDLE{roots} --at archived")
}

/// What a "below" rests on.
pub(super) fn rests_on(devices: usize, millis: Option<u64>, coverage: &CoverageLine, silent_nodes: usize) -> String {
    let covered = coverage.covered_basis_points.map_or_else(
        || "an unknown part".to_owned(),
        |points| format!("{}.{:02} %", points.div_euclid(100), points.rem_euclid(100)),
    );
    let silent = match silent_nodes {
        0 => String::new(),
        nodes => format!("; the last key of {nodes} of the nodes has no quoted interval"),
    };
    format!(
        "{devices} accelerators bound by evidence, each charged at its ceiling rate for all {} ms of the external bracket, \
         of which quoted intervals cover {covered}{silent}",
        millis.unwrap_or_default()
    )
}

pub(super) fn assumptions(rate_bases: &[String], has_proof: bool, has_time: bool) -> Vec<Sentence> {
    let rates = if rate_bases.is_empty() { "none known".to_owned() } else { rate_bases.join("; ") };
    let mut lines = vec![
        Sentence::on(
            ["check:evidence-genuine", "field:/anchors"],
            "Vendor roots, vendor signing keys and the TEEs of the listed platforms are intact.",
        ),
        Sentence::on(
            ["check:ceiling-rate", "field:/nodes", rules::DEVICE_TIME],
            format!(
                "Ceiling rates by the certificate's chip family: {rates}. Sparse peak rates are not used: they count \
                 zeros that are skipped; pipes beside the tensor cores are not added."
            ),
        ),
    ];
    if has_time {
        lines.push(Sentence::on(
            [
                "check:time-nonce-authority",
                "check:time-beacon-chain",
                "check:time-receipt-authority",
                "check:time-timestamp-authority",
                "check:clock-shifted",
            ],
            format!(
                "The time anchors are honest: nonces and beacon rounds are not known to anybody before their time, and \
                 receipts and timestamps carry the time at which the head was seen. A host clock may differ by \
                 {CLOCK_SKEW_MILLIS} ms."
            ),
        ));
    }
    if has_proof {
        lines.push(Sentence::on(
            ["check:proof-holds"],
            "Soundness of the proof system (plonky2) is about 100 bits conjectured, by the FRI conjecture of ethSTARK; \
             about 58 bits are provable. That plonky2's proofs are zero-knowledge is not proven.",
        ));
    }
    lines
}

/// Whose statement stands in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatedBy {
    Nobody,
    Provider,
    /// Another name than the run manifest's.
    Other,
}

pub(super) fn not_proven(
    period: &Period,
    has_proof: bool,
    stated_by: StatedBy,
    sampling: Option<&SamplingLine>,
) -> Vec<Sentence> {
    let period = match period.ends() {
        Some((from, to)) => format!("the period from {} to {}", text::instant(from), text::instant(to)),
        None => "the period".to_owned(),
    };
    let mut lines: Vec<Sentence> = vec![
        Sentence::on(
            ["check:roster-complete", "field:/nodes"],
            "Compute outside this inventory: devices that are in no roster row, rented clusters and remote services \
             are not covered.",
        ),
        Sentence::on(
            ["check:time-order", "field:/period"],
            format!(
                "Compute outside {period}: what made the initial checkpoint, and other runs that count towards a \
                 cumulative threshold, are not in these figures."
            ),
        ),
        correctness(sampling),
        Sentence::on(
            ["check:evidence-genuine"],
            "That no TEE was attacked physically: whoever holds the machines can forge quotes with an interposer.",
        ),
        Sentence::on(
            ["check:evidence-devices"],
            "That the GPUs sit in these nodes: GPU evidence can be relayed; devices are bound to a node by chained \
             nonces only.",
        ),
        Sentence::on(
            ["check:policy-measurement", "field:/policy"],
            "That the node image is honest: its launch measurement is not compared with reference values, so \
             intervals, device states and checkpoint roots are the node's word.",
        ),
        Sentence::on(
            ["check:policy-gpu-reference-values", "field:/policy"],
            "That GPU firmware and driver are recent or free of flaws: they are compared with NVIDIA's reference values of \
             their own version, and no minimum version is required.",
        ),
        Sentence::on(
            ["check:policy-debug"],
            "That confidential-computing mode is on and devtools mode is off: it is asserted by the node and not part \
             of a GPU report.",
        ),
        Sentence::on(
            ["check:manifest", "field:/genesis"],
            "What the training data are or mean: the data set root and the order of batches are declared.",
        ),
        Sentence::on([rules::ACCELERATORS], "CPU compute of the hosts: only accelerators are weighed."),
    ];
    if has_proof {
        lines.push(Sentence::on(
            ["check:proof-holds", "field:/declared"],
            "That declared readings are true: the proof shows that they add up, and moves no verdict.",
        ));
    }
    lines.extend(stated(stated_by));
    lines
}

/// What a provider's statement leaves unproven.
fn stated(stated_by: StatedBy) -> Vec<Sentence> {
    let mut lines = Vec::new();
    if stated_by != StatedBy::Nobody {
        lines.push(Sentence::on(
            ["field:/statement", rules::DECLARED],
            "Anything in the provider's statement: amounts, methods, sites, energy and plans are its own word.",
        ));
    }
    if stated_by == StatedBy::Other {
        lines.push(Sentence::on(
            ["check:declarations-provider", "field:/provider", "declared:/provider/legal_name"],
            "That whoever makes the statement is the provider of the run: the run manifest names another one.",
        ));
    }
    lines
}

/// Correctness, which no figure here rests on.
fn correctness(sampling: Option<&SamplingLine>) -> Sentence {
    let text = match sampling {
        None => "Correctness of any step: no steps audited yet.",
        Some(line) if !line.answered => {
            "Correctness of any step: an audit was announced, and none of its draws is answered here."
        }
        Some(_) => {
            "Correctness of any step: the prover drew for itself, so that the audit finds mistakes and shows nothing. Work \
             outside of its windows is not drawn from, and where weights and batches come from is the job's word."
        }
    };
    Sentence::on(["field:/audit"], text)
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::UnixMillis;

    use super::*;

    fn external() -> Period {
        Period::External {
            from: UnixMillis(1_000),
            to: UnixMillis(61_000),
            counted_millis: 60_000,
            grade: Grade::Simulated,
        }
    }

    #[test]
    fn the_warning_is_the_word_simulated_or_nothing() {
        assert_eq!(warning(&[(Grade::Attested, "a vendor root")]).text, "");
        assert_eq!(
            warning(&[(Grade::Attested, "a vendor root"), (Grade::Simulated, "a seed")]).text,
            "SIMULATED: this report rests on development trust anchors (`a seed`); it says nothing about real hardware."
        );
    }

    #[test]
    fn a_host_clock_is_said_to_be_a_condition() {
        let host = Period::Host(Some((UnixMillis(0), UnixMillis(5))));
        assert!(upper_basis(&host, 2, &[]).ends_with("rounded up, if the host clock is true"));
        let basis = upper_basis(&external(), 2, &["GH100: 1 FLOP/s".to_owned()]);
        assert_eq!(
            basis.text,
            "2 accelerators × 60000 ms of externally bracketed time × ceiling rate (GH100: 1 FLOP/s), rounded up"
        );
    }

    #[test]
    fn a_last_key_without_a_quoted_interval_is_said() {
        let coverage = CoverageLine {
            bracketed_millis: Some(9),
            covered_millis: 9,
            run_millis: 9,
            other_millis: 0,
            idle_millis: 0,
            recorded_gap_millis: 0,
            uncovered_millis: Some(0),
            covered_basis_points: Some(10_000),
        };
        let said = |silent| rests_on(2, Some(9), &coverage, silent);
        assert!(said(0).ends_with("of which quoted intervals cover 100.00 %"));
        assert!(said(1).ends_with("cover 100.00 %; the last key of 1 of the nodes has no quoted interval"));
    }

    #[test]
    fn the_period_is_named_where_it_ends_the_claim() {
        let lines = not_proven(&external(), false, StatedBy::Nobody, None);
        assert!(lines.iter().any(|line| line.contains("from 1970-01-01T00:00:01Z to 1970-01-01T00:01:01Z")));
        assert_eq!(not_proven(&external(), true, StatedBy::Provider, None).len(), lines.len() + 2);
        assert_eq!(not_proven(&external(), true, StatedBy::Other, None).len(), lines.len() + 3);
    }
}
