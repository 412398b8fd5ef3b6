//! **Duty.** `weighbridge audit plan`: what a policy promises, and what it costs on a trace. **Does not know** how an
//! allowance is computed. **Spec.** PROTOCOL §5, §8; decision 0064.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weighbridge_attest_types::{Flops, two_figures};
use weighbridge_audit::{AuditPolicy, StratumPlan, TraceLoad, Weight};

use crate::audit_policy::{mode_name, weight_name};
use crate::cli::Format;
use crate::cli::audit::policy::{TraceFolder, policy};
use crate::cli::console::Console;
use crate::cli::object::Object;
use crate::error::CliError;

const HELP: &str = "A policy is a JSON file (docs/schemas/audit-policy-v1.schema.json). Each window closes at or before the cap \
    and gets a fixed number of draws. The allowance is what of the whole run can be false, at the stratum's confidence, when so \
    many draws of all windows fail. Costs are counts of work for one draw, on average, not seconds.\n\n\
    Example: weighbridge audit plan --policy audit-policy.json --trace traces/step-00000200\n\n\
    Exit codes: 0 accepted; 2 a file cannot be read; 3 the policy or the trace is malformed.";

/// Tells what an audit policy promises and what its draws cost
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct PlanArgs {
    /// The audit policy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Folder of a trace: what it holds of each stratum, and what one draw of it costs
    #[arg(long, value_name = "DIR")]
    trace: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Format,
}

/// What is printed.
struct Answer {
    policy: AuditPolicy,
    strata: Vec<(StratumPlan, Option<TraceLoad>)>,
}

impl PlanArgs {
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<u8, CliError> {
        let policy = policy(&self.policy)?;
        let folder = self.trace.as_deref().map(TraceFolder::open).transpose()?;
        let trace = folder.as_ref().map(TraceFolder::trace).transpose()?;
        let with_load = |plan: StratumPlan| {
            let load = trace.as_ref().map(|trace| TraceLoad::of(trace, plan.stratum.weight));
            (plan, load)
        };
        let strata = StratumPlan::of(&policy).into_iter().map(with_load).collect();
        let answer = Answer { policy, strata };
        match self.format {
            Format::Text => console.print(&answer.text())?,
            Format::Json => Object::accepted(answer.claims()).print(console)?,
        }
        Ok(0)
    }
}

/// FLOP, or entries of links.
const fn unit(weight: Weight) -> &'static str {
    match weight {
        Weight::Flop => "FLOP",
        Weight::Link => "entries",
    }
}

impl Answer {
    fn claims(&self) -> Value {
        let Self { policy, strata } = self;
        let stratum = |(plan, load): &(StratumPlan, Option<TraceLoad>)| {
            let StratumPlan { stratum, allowances } = plan;
            let allowance = |(failures, most): &(u32, Result<u128, _>)| json!({"failures": failures, "most_false": most.as_ref().ok().map(|most| Flops(*most))});
            json!({
                "weight": weight_name(stratum.weight),
                "cap": Flops(stratum.cap),
                "draws": stratum.draws,
                "risk_millionths": stratum.risk.millionths(),
                "allowances": allowances.iter().map(allowance).collect::<Vec<_>>(),
                "trace": load.as_ref().map(|load| json!({
                    "tiles": load.tiles,
                    "weight": Flops(load.weight),
                    "cap_millionths": Flops(load.millionths_of(stratum.cap)),
                    "terms_per_draw": Flops(load.per_draw.terms),
                    "bytes_per_draw": Flops(load.per_draw.bytes),
                })),
            })
        };
        json!({
            "policy_digest": policy.digest(),
            "mode": mode_name(policy.mode()),
            "randomness": policy.randomness().grade().as_str(),
            "is_a_sample": policy.randomness().grade().is_a_sample(),
            "deadline_millis": policy.deadline_millis(),
            "risk_millionths": policy.risk().millionths(),
            "strata": strata.iter().map(stratum).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let Self { policy, strata } = self;
        let grade = policy.randomness().grade();
        let mut text = format!(
            "audit policy {}\nmode {}, randomness {}, {} % confidence over the whole run\n",
            policy.digest(),
            mode_name(policy.mode()),
            grade.as_str(),
            policy.risk().confidence()
        );
        if !grade.is_a_sample() {
            text.push_str("a self-check can be repeated until it passes: what it draws is no sample\n");
        }
        for (StratumPlan { stratum, allowances }, load) in strata {
            let unit = unit(stratum.weight);
            text.push_str(&format!(
                "\n{}: at most {} {unit} in a window, {} draws of each window, {} % confidence\n",
                weight_name(stratum.weight),
                stratum.cap,
                stratum.draws,
                stratum.risk.confidence()
            ));
            for (failures, most) in allowances {
                let most = most.as_ref().map_or_else(
                    |why| format!("nothing follows: {why}"),
                    // Exact: rounded to two figures, a bound could be below itself.
                    |most| format!("at most {most} {unit} of the run are false (some {})", two_figures(*most)),
                );
                text.push_str(&format!("  {failures} failures  {most}\n"));
            }
            if let Some(load) = load {
                text.push_str(&load_text(load, stratum.cap, stratum.draws, unit));
            }
        }
        text
    }
}

fn load_text(load: &TraceLoad, cap: u128, draws: u32, unit: &str) -> String {
    let share = load.millionths_of(cap);
    let over = if share > 1_000_000 { "; more than a window may hold" } else { "" };
    format!(
        "  this trace  {} tiles, {} {unit}, {}.{:04} % of a window's cap{over}\n  one draw    {} terms and {} bytes on \
         average; {draws} draws: {} terms\n",
        load.tiles,
        two_figures(load.weight),
        share / 10_000,
        share % 10_000,
        load.per_draw.terms,
        load.per_draw.bytes,
        two_figures(load.per_draw.terms.saturating_mul(u128::from(draws)))
    )
}
