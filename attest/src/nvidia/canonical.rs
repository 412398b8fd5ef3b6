//! **Duty.** The two byte strings that an enveloped XML signature speaks of, in Canonical XML 1.1: the document without
//! its signature, and the signed info. The only room that names the library. **Does not know** keys or manifests: if the
//! library errs, the digest or the signature does not hold. **Spec.** EVIDENCE §1.5, docs/decisions/0030.

use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::NodeSet;
use bergshamra_xml::nodeset::{NodeIdSet, NodeSetType};
use uppsala::{Document, NodeId, Parser};

use crate::budget::MAX_XML_DEPTH;

/// What was signed, if the signature holds.
#[derive(Debug)]
pub(super) struct Canonical {
    /// The document without its `Signature` child.
    pub(super) content: Vec<u8>,
    /// The `SignedInfo` of that `Signature`.
    pub(super) signed_info: Vec<u8>,
}

/// Canonical forms of a text that `xml` has read, whose root has exactly one child of this name.
pub(super) fn canonicalise(text: &str, namespace: &str, signature: &str) -> Result<Canonical, String> {
    let depth = u32::try_from(MAX_XML_DEPTH).unwrap_or(u32::MAX);
    let parser = Parser::new().with_forbid_dtd(true).with_forbid_entities(true).with_max_depth(depth);
    let document = parser.parse(text).map_err(|why| why.to_string())?;
    let root = document.document_element().ok_or("it has no element")?;
    let signature = only_child(&document, root, namespace, signature)?;
    let signed_info = only_child(&document, signature, namespace, "SignedInfo")?;

    let mut covered_not: NodeIdSet = document.descendants(signature).into_iter().map(|node| node.index()).collect();
    covered_not.insert(signature.index());
    let content = NodeSet::from_ids(covered_not, NodeSetType::Invert);
    Ok(Canonical {
        content: canonical_form(&document, &content)?,
        signed_info: canonical_form(&document, &NodeSet::tree_without_comments(signed_info, &document))?,
    })
}

fn canonical_form(document: &Document<'_>, nodes: &NodeSet) -> Result<Vec<u8>, String> {
    canonicalize_doc::<&str>(document, C14nMode::Inclusive11, Some(nodes), &[]).map_err(|why| why.to_string())
}

fn only_child(document: &Document<'_>, parent: NodeId, namespace: &str, local: &str) -> Result<NodeId, String> {
    let named =
        |node: &NodeId| document.element(*node).is_some_and(|element| element.matches_name_ns(namespace, local));
    let mut found = document.children_iter(parent).filter(named);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(format!("there is not exactly one {local:?} where it belongs")),
    }
}
