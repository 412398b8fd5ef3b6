//! **Duty.** What only TDX guests are asked: status and age of the TCB, attributes, reference values. **Does not know**
//! quotes or collateral. **Spec.** EVIDENCE §2.4–2.5, docs/decisions/0035 (grace).

use weighbridge_attest_types::{Requirement, TcbStatus, TdxClaims, TdxRules, TdxTcb, UnixMillis};

use super::rules::{Rules, reason, together, wish};
use crate::text;

const CODE: &str = "policy-tdx";
const STATUS_CODE: &str = "policy-tcb-status";
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Claims of that kind always carry the answers; claims without them meet none of these rules.
pub(super) fn apply(wanted: &TdxRules, rules: &mut Rules<'_>) {
    let Some(claims) = rules.claims().tdx.as_deref() else {
        return rules.refuse(CODE, "claims of TDX", "the evidence has none of the claims of TDX");
    };
    apply_status(wanted, claims, rules);
    apply_attributes(wanted, claims, rules);
    apply_advisories(wanted, rules);
    let number = claims.tcb.evaluation_number;
    rules.apply(CODE, "TCB evaluation number", &wanted.evaluation_number, Some(&number));
    let [rtmr0, rtmr1, rtmr2, rtmr3] = &claims.rtmr;
    let values = [
        ("MRSEAM", &wanted.mrseam, &claims.module.mrseam),
        ("RTMR0", &wanted.rtmr0, rtmr0),
        ("RTMR1", &wanted.rtmr1, rtmr1),
        ("RTMR2", &wanted.rtmr2, rtmr2),
        ("RTMR3", &wanted.rtmr3, rtmr3),
        ("MRCONFIGID", &wanted.mr_config_id, &claims.mr_config_id),
        ("MROWNER", &wanted.mr_owner, &claims.mr_owner),
        ("MROWNERCONFIG", &wanted.mr_owner_config, &claims.mr_owner_config),
    ];
    for (rule, wanted, found) in values {
        rules.apply(CODE, rule, wanted, Some(&hex::encode(found)));
    }
    let explained = claims.event_log.explains_all();
    rules.apply(CODE, "every register explained by an event log", &wanted.event_log, Some(&explained));
}

/// The status that the TD was launched with, and the one that its platform has now, must both be allowed; within the
/// grace period each is read without its age.
fn apply_status(wanted: &TdxRules, claims: &TdxClaims, rules: &mut Rules<'_>) {
    let TdxTcb { status, status_without_age, current_status, current_status_without_age, .. } = claims.tcb;
    let within_grace = is_within_grace(&claims.tcb, wanted.out_of_date_grace_days);
    let is_allowed = |status: TcbStatus, without_age: TcbStatus| {
        wanted.tcb_status.is_met_by(Some(&status))
            || (within_grace && status != without_age && wanted.tcb_status.is_met_by(Some(&without_age)))
    };
    let advisories = match rules.claims().advisories.as_slice() {
        [] => String::new(),
        all => format!(" (advisories {})", text::list(all)),
    };
    let mut rule = |what: &str, status: TcbStatus, without_age: TcbStatus| {
        if is_allowed(status, without_age) {
            let found = format!("{status:?}{advisories}");
            return rules.admit(STATUS_CODE, what, &wanted.tcb_status, &found);
        }
        let wish = status_wish(&wanted.tcb_status, claims, wanted.out_of_date_grace_days);
        rules.refuse(STATUS_CODE, what, &format!("{what} is {status:?}{advisories}; policy wants {wish}"));
    };
    rule("TCB status", status, status_without_age);
    // The same status twice is told once; without its age it may still be another.
    if let (Some(now), Some(without_age)) = (current_status, current_status_without_age)
        && (now, without_age) != (status, status_without_age)
        && (is_allowed(now, without_age) || is_allowed(status, status_without_age) || now != status)
    {
        rule("TCB status now", now, without_age);
    }
}

/// Each advisory that applies.
fn apply_advisories(wanted: &TdxRules, rules: &mut Rules<'_>) {
    let found = &rules.claims().advisories;
    if found.is_empty() || reason(&wanted.advisories).is_some() {
        return rules.admit(CODE, "advisories", &wanted.advisories, &text::list(found));
    }
    for advisory in found {
        rules.apply(CODE, "an advisory", &wanted.advisories, Some(advisory));
    }
}

/// Whether everything that is out of date is of a level whose `tcbDate` lies at most so many days back.
fn is_within_grace(tcb: &TdxTcb, days: u16) -> bool {
    let allowed = u64::from(days).saturating_mul(DAY_MILLIS);
    let end = |date: UnixMillis| date.0.saturating_add(allowed);
    days > 0 && tcb.out_of_date_level.is_some_and(|date| tcb.at.0 <= end(date))
}

fn status_wish(wanted: &Requirement<TcbStatus>, claims: &TdxClaims, days: u16) -> String {
    match (days, claims.tcb.out_of_date_level) {
        (0, _) | (_, None) => wish(wanted),
        (days, Some(date)) => {
            format!("{}, or its level's date {} at most {days} days back", wish(wanted), text::instant(date))
        }
    }
}

fn apply_attributes(wanted: &TdxRules, claims: &TdxClaims, rules: &mut Rules<'_>) {
    let sept_ve_disable = claims.attributes.sept_ve_disable();
    rules.apply("policy-sept-ve-disable", "SEPT_VE_DISABLE", &wanted.sept_ve_disable, Some(&sept_ve_disable));
    rules.apply(CODE, "profiling", &wanted.profiling, Some(&claims.attributes.profiling()));
    rules.apply(CODE, "a service TD", &wanted.service_td, Some(&claims.service_td()));
    rules.apply(CODE, "reserved attribute bits", &wanted.reserved_attributes, Some(&claims.attributes.reserved()));
}

pub(super) fn waivers(rules: &TdxRules) -> Vec<(String, &str)> {
    let TdxRules {
        tcb_status,
        out_of_date_grace_days: _,
        advisories,
        evaluation_number,
        sept_ve_disable,
        profiling,
        service_td,
        reserved_attributes,
        mrseam,
        rtmr0,
        rtmr1,
        rtmr2,
        rtmr3,
        mr_config_id,
        mr_owner,
        mr_owner_config,
        event_log,
    } = rules;
    let all = [
        ("TCB status", reason(tcb_status)),
        ("advisories", reason(advisories)),
        ("TCB evaluation number", reason(evaluation_number)),
        ("SEPT_VE_DISABLE", reason(sept_ve_disable)),
        ("profiling", reason(profiling)),
        ("service TD", reason(service_td)),
        ("reserved attributes", reason(reserved_attributes)),
        ("MRSEAM", reason(mrseam)),
        ("RTMR0", reason(rtmr0)),
        ("RTMR1", reason(rtmr1)),
        ("RTMR2", reason(rtmr2)),
        ("RTMR3", reason(rtmr3)),
        ("MRCONFIGID", reason(mr_config_id)),
        ("MROWNER", reason(mr_owner)),
        ("MROWNERCONFIG", reason(mr_owner_config)),
        ("event log", reason(event_log)),
    ];
    together("TDX", all.map(|(rule, reason)| (rule.to_owned(), reason)))
}
