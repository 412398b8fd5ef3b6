//! **Duty.** One bracket for all chains of a node: *not before* its first key's nonce, *not after* its last key's receipt.
//! **Knows** what the tokens of each chain say. **Does not know** which chain continues which (`nodes`).
//! **Spec.** PROTOCOL §3 (a reboot makes a new key; completeness is counted per device, not per node key).
//!
//! Device time is charged once for each node, whatever number of keys it had: so all its chains share one bracket, and
//! what their clocks counted has to fit into it together. A chain cut in two gains nothing.

use weighbridge_attest_types::{RosterRow, TrustAnchors};
use weighbridge_ledger::CheckedLedger;

use super::{Holder, NodeBracket, TokenTime, check_clock, length_fits, tokens};
use crate::check::Checks;
use crate::ingest::NodeParts;

/// What anchored tokens say about the chains of one node, and about the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RowBracket {
    whole: NodeBracket,
    /// The tokens of each chain.
    chains: Vec<NodeBracket>,
}

impl RowBracket {
    /// The node's bracket.
    pub(crate) const fn whole(&self) -> &NodeBracket {
        &self.whole
    }

    /// What the tokens of each chain say, in order.
    pub(crate) fn chains(&self) -> &[NodeBracket] {
        &self.chains
    }

    /// Every token that counts.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &TokenTime> {
        self.chains.iter().flat_map(|chain| [chain.not_before(), chain.not_after()]).flatten()
    }
}

/// Checks tokens and clocks of a node's chains, in order; a chain that does not hold together has no ledger.
pub(crate) fn bracket_row(
    row: &RosterRow,
    found: &[(&NodeParts, Option<&CheckedLedger>)],
    anchors: &TrustAnchors,
    checks: &mut Checks,
) -> RowBracket {
    let mut chains = Vec::with_capacity(found.len());
    for (after, &(parts, ledger)) in (1..).zip(found) {
        let node_key = if parts.place == 0 { row.node_key } else { parts.ledger.start.node_key };
        let holder = Holder { parts, ledger, node_key, is_followed: after < found.len() };
        chains.push(tokens(holder, anchors, checks));
    }
    let whole = whole(&chains);
    for ((parts, _), own) in found.iter().zip(&chains) {
        check_clock(parts, &within(own, &whole), checks);
    }
    if let [(first, _), _, ..] = found {
        let entries = found.iter().flat_map(|(parts, _)| &parts.ledger.entries);
        let result = length_fits(&whole, entries.map(|entry| &entry.public));
        checks.record(
            &format!("{}/time", first.folder),
            "clock-overfull",
            result.map(|fits| format!("all keys: {fits}")),
        );
    }
    RowBracket { whole, chains }
}

/// The node's time ends with the receipt of its last chain. A receipt over an earlier chain that came even later makes
/// it longer, never shorter.
fn whole(chains: &[NodeBracket]) -> NodeBracket {
    let ends = chains.iter().filter_map(NodeBracket::not_after);
    let latest = ends.max_by_key(|token| token.at()).cloned();
    NodeBracket {
        not_before: chains.first().and_then(NodeBracket::not_before).cloned(),
        not_after: chains.last().and_then(NodeBracket::not_after).and(latest),
    }
}

/// A chain's clock has to lie inside its own tokens and inside the node's: a later key is not older than its own nonce.
fn within(own: &NodeBracket, whole: &NodeBracket) -> NodeBracket {
    let before = [own.not_before(), whole.not_before()].into_iter().flatten();
    let after = [own.not_after(), whole.not_after()].into_iter().flatten();
    NodeBracket {
        not_before: before.max_by_key(|token| token.at()).cloned(),
        not_after: after.min_by_key(|token| token.at()).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_attest_types::{Digest32, Grade, TimeAnchor, UnixMillis};

    use super::*;
    use crate::time::{TokenAnchor, by};

    fn bracket(from: Option<u64>, to: Option<u64>) -> NodeBracket {
        let anchor = || TimeAnchor { name: "clock".to_owned(), grade: Grade::Simulated, key: Digest32([1; 32]) };
        let token =
            |at: u64| TokenTime { at: UnixMillis(at), by: by::NONCE, anchor: TokenAnchor::authority(&anchor()) };
        NodeBracket { not_before: from.map(token), not_after: to.map(token) }
    }

    #[test]
    fn a_nodes_bracket_goes_from_its_first_nonce_to_its_last_receipt() {
        let of = |chains: &[(Option<u64>, Option<u64>)]| {
            let chains: Vec<_> = chains.iter().map(|&(from, to)| bracket(from, to)).collect();
            let whole = whole(&chains);
            (whole.not_before().map(|token| token.at().0), whole.not_after().map(|token| token.at().0))
        };
        assert_eq!(of(&[(Some(100), None), (Some(300), Some(900))]), (Some(100), Some(900)));
        // A later nonce is no substitute for the first, and an earlier receipt none for the last.
        assert_eq!(of(&[(None, None), (Some(300), Some(900))]), (None, Some(900)));
        assert_eq!(of(&[(Some(100), Some(200)), (Some(300), None)]), (Some(100), None));
        // A receipt over the first chain that was fetched after the last one's makes the period longer.
        assert_eq!(of(&[(Some(100), Some(950)), (Some(300), Some(900))]), (Some(100), Some(950)));
        assert_eq!(of(&[]), (None, None));
    }

    #[test]
    fn a_chain_lies_inside_its_own_tokens_and_the_nodes() {
        let whole = bracket(Some(100), Some(900));
        assert_eq!(within(&bracket(None, None), &whole), whole);
        assert_eq!(within(&bracket(Some(300), None), &whole), bracket(Some(300), Some(900)));
        assert_eq!(within(&bracket(Some(50), Some(950)), &whole), whole);
        assert_eq!(within(&bracket(None, Some(200)), &whole), bracket(Some(100), Some(200)));
    }
}
