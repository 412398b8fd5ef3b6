//! **Duty.** What only SEV-SNP guests are asked. **Does not know** reports or keys. **Spec.** EVIDENCE §3.3,
//! docs/decisions/0026.

use weighbridge_attest_types::{SnpRules, Vmpl};

use super::rules::{Rules, reason, together};

const CODE: &str = "policy-snp";

/// Claims of that kind always carry the answers; claims without them meet none of these rules.
pub(super) fn apply(wanted: &SnpRules, rules: &mut Rules<'_>) {
    let Some(claims) = rules.claims().snp.as_deref() else {
        return rules.refuse(CODE, "claims of SEV-SNP", "the evidence has none of the claims of SEV-SNP");
    };
    let tcb = wanted.tcb(claims.product);
    rules.apply(CODE, "reported TCB", &tcb.reported, Some(&claims.tcb.reported));
    rules.apply(CODE, "committed TCB", &tcb.committed, Some(&claims.tcb.committed));
    rules.apply(CODE, "launch TCB", &tcb.launch, Some(&claims.tcb.launch));
    rules.apply(CODE, "VMPL", &wanted.vmpl, Some(&Vmpl(claims.vmpl)));
    rules.apply(CODE, "guest policy", &wanted.guest_policy, Some(&claims.policy));
    let host_data = hex::encode(claims.host_data);
    rules.apply(CODE, "host data", &wanted.host_data, Some(&host_data));
    let id_key = hex::encode(claims.id_key_digest);
    rules.apply(CODE, "identity key digest", &wanted.id_key_digest, Some(&id_key));
    let author_key = claims.author_key_digest.map(hex::encode);
    rules.apply(CODE, "author key digest", &wanted.author_key_digest, author_key.as_ref());
}

pub(super) fn waivers(rules: &SnpRules) -> Vec<(String, &str)> {
    let SnpRules { milan, genoa, turin, vmpl, guest_policy, host_data, id_key_digest, author_key_digest } = rules;
    let lines = [("Milan", milan), ("Genoa", genoa), ("Turin", turin)];
    let tcbs = lines.into_iter().flat_map(|(line, tcb)| {
        let parts = [("reported", &tcb.reported), ("committed", &tcb.committed), ("launch", &tcb.launch)];
        parts.into_iter().map(move |(part, wanted)| (format!("{part} TCB of {line}"), reason(wanted)))
    });
    let others = [
        ("VMPL", reason(vmpl)),
        ("guest policy", reason(guest_policy)),
        ("host data", reason(host_data)),
        ("identity key", reason(id_key_digest)),
        ("author key", reason(author_key_digest)),
    ];
    together("SEV-SNP", tcbs.chain(others.map(|(rule, reason)| (rule.to_owned(), reason))))
}
