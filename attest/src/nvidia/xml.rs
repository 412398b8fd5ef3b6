//! **Duty.** A small, strict reader of XML: elements, attributes, namespaces, text in leaves. Every bound is checked here,
//! before a library sees the text; what a manifest never has is refused: DTDs, entities and character references,
//! processing instructions, comments, CDATA, mixed content. **Knows** XML 1.0 and its namespaces, as far as that goes.
//! **Does not know** manifests or signatures. **Spec.** EVIDENCE §1.5, §0 rule 5.

use crate::budget::{MAX_RIM_BYTES, MAX_XML_ATTRIBUTES, MAX_XML_ATTRIBUTES_IN_ALL, MAX_XML_DEPTH, MAX_XML_ELEMENTS};

/// The prefix that is always bound.
const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// An element with everything inside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Empty: in no namespace.
    pub(super) namespace: &'a str,
    pub(super) local: &'a str,
    /// Without namespace declarations.
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) children: Vec<Element<'a>>,
    /// Of an element without children.
    pub(super) text: &'a str,
}

/// An attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) namespace: &'a str,
    pub(super) local: &'a str,
    pub(super) value: &'a str,
}

impl<'a> Element<'a> {
    /// Whether it has this name.
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, namespace: &str, local: &str) -> Option<&'a str> {
        let found = self.attributes.iter().find(|other| other.namespace == namespace && other.local == local);
        found.map(|attribute| attribute.value)
    }

    /// Itself and everything below it.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        self.children.iter().for_each(|child| child.walk(visit));
    }
}

/// Reads a document: one element, whitespace around it, an XML declaration before it at most.
pub(super) fn parse(bytes: &[u8]) -> Result<Element<'_>, String> {
    if bytes.len() > MAX_RIM_BYTES {
        return Err(format!("{} bytes are over the cap of {MAX_RIM_BYTES}", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let body = after_declaration(text);
    refuse_constructs(body)?;
    let mut reader = Reader { rest: body, bindings: Vec::new(), elements: 0, attributes: 0 };
    reader.skip_space();
    let root = reader.element(1)?;
    reader.skip_space();
    match reader.rest.is_empty() {
        true => Ok(root),
        false => Err(format!("something follows the document: {:?}", excerpt(reader.rest))),
    }
}

/// `<?xml …?>` is no processing instruction. What it says is fixed: the text was read as UTF-8.
fn after_declaration(text: &str) -> &str {
    const DECLARATIONS: [&str; 2] = [r#"<?xml version="1.0" encoding="UTF-8"?>"#, r#"<?xml version="1.0"?>"#];
    DECLARATIONS.into_iter().find_map(|known| text.strip_prefix(known)).unwrap_or(text)
}

/// Whatever could make two readers see two documents.
fn refuse_constructs(text: &str) -> Result<(), String> {
    const REFUSED: [(&str, &str); 3] = [
        ("<!", "a DTD, a comment or CDATA"),
        ("<?", "a processing instruction"),
        ("&", "an entity or a character reference"),
    ];
    if let Some((_, what)) = REFUSED.into_iter().find(|(mark, _)| text.contains(mark)) {
        return Err(format!("it has {what}, which no manifest has"));
    }
    let odd = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    match text.bytes().any(odd) {
        true => Err("it has control characters".to_owned()),
        false => Ok(()),
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// Namespace bindings in force, innermost last; the default namespace has the empty prefix.
    bindings: Vec<(&'a str, &'a str)>,
    elements: usize,
    attributes: usize,
}

/// A start tag as written.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    closed: bool,
}

impl<'a> Reader<'a> {
    fn element(&mut self, depth: usize) -> Result<Element<'a>, String> {
        self.elements = self.elements.saturating_add(1);
        if depth > MAX_XML_DEPTH || self.elements > MAX_XML_ELEMENTS {
            return Err(format!("it has over {MAX_XML_ELEMENTS} elements, or over {MAX_XML_DEPTH} in one another"));
        }
        let outer = self.bindings.len();
        let tag = self.start_tag()?;
        for (name, value) in &tag.attributes {
            self.bind(name, value)?;
        }
        let (namespace, local) = self.resolve(tag.name, true)?;
        let attributes = self.resolve_attributes(&tag)?;
        let mut element = Element { namespace, local, attributes, children: Vec::new(), text: "" };
        if !tag.closed {
            self.content(&mut element, tag.name, depth)?;
        }
        self.bindings.truncate(outer);
        Ok(element)
    }

    /// Up to and including the end tag: children with space between them, or one text.
    fn content(&mut self, element: &mut Element<'a>, name: &str, depth: usize) -> Result<(), String> {
        loop {
            let (text, rest) = self
                .rest
                .split_at_checked(self.rest.find('<').ok_or("it ends inside an element")?)
                .ok_or("it ends inside an element")?;
            self.rest = rest;
            let is_end = rest.starts_with("</");
            if !(text.bytes().all(is_space) || (is_end && element.children.is_empty())) {
                return Err(format!("text and elements are mixed in {name:?}"));
            }
            if !is_end {
                element.children.push(self.element(depth.saturating_add(1))?);
                continue;
            }
            if element.children.is_empty() {
                element.text = text;
            }
            self.expect("</")?;
            if self.name()? != name {
                return Err(format!("the end tag of {name:?} is another's"));
            }
            self.skip_space();
            return self.expect(">");
        }
    }

    fn start_tag(&mut self) -> Result<Tag<'a>, String> {
        self.expect("<")?;
        let name = self.name()?;
        let mut attributes: Vec<(&str, &str)> = Vec::new();
        loop {
            let spaced = self.skip_space();
            for (mark, closed) in [("/>", true), (">", false)] {
                if let Some(rest) = self.rest.strip_prefix(mark) {
                    self.rest = rest;
                    return Ok(Tag { name, attributes, closed });
                }
            }
            let (attribute, value) = (self.name()?, self.value()?);
            self.attributes = self.attributes.saturating_add(1);
            if !spaced || attributes.iter().any(|(other, _)| *other == attribute) {
                return Err(format!("attribute {attribute:?} of {name:?} is repeated, or no space stands before it"));
            }
            attributes.push((attribute, value));
            if attributes.len() > MAX_XML_ATTRIBUTES || self.attributes > MAX_XML_ATTRIBUTES_IN_ALL {
                return Err(format!("{name:?} has over {MAX_XML_ATTRIBUTES} attributes, or the document too many"));
            }
        }
    }

    /// `="…"` or `='…'`.
    fn value(&mut self) -> Result<&'a str, String> {
        self.skip_space();
        self.expect("=")?;
        self.skip_space();
        let quote = self.rest.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or("an unquoted value")?;
        let inner = self.rest.strip_prefix(quote).unwrap_or_default();
        let (value, rest) = inner.split_once(quote).ok_or("it ends inside a value")?;
        if value.contains('<') {
            return Err("a value holds a tag".to_owned());
        }
        self.rest = rest;
        Ok(value)
    }

    /// A name of plain letters, with one colon at most.
    fn name(&mut self) -> Result<&'a str, String> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        let end = self.rest.bytes().position(|byte| !known(byte)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        let begins = |part: &str| part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let mut parts = name.splitn(3, ':');
        let fits = parts.next().is_some_and(begins) && parts.next().is_none_or(begins) && parts.next().is_none();
        self.rest = rest;
        fits.then_some(name).ok_or_else(|| format!("{:?} is no plain name", excerpt(name)))
    }

    /// Takes in a namespace declaration.
    fn bind(&mut self, name: &'a str, value: &'a str) -> Result<(), String> {
        let prefix = match (name, name.strip_prefix("xmlns:")) {
            ("xmlns", _) => "",
            (_, Some(prefix)) if !value.is_empty() && !matches!(prefix, "xml" | "xmlns") => prefix,
            (_, Some(_)) => return Err(format!("{name:?} cannot be declared as {value:?}")),
            (_, None) => return Ok(()),
        };
        self.bindings.push((prefix, value));
        Ok(())
    }

    /// Namespace and local part of a name. An attribute without a prefix is in no namespace.
    fn resolve(&self, name: &'a str, is_element: bool) -> Result<(&'a str, &'a str), String> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let bound = self.bindings.iter().rev().find(|(known, _)| *known == prefix).map(|(_, uri)| *uri);
        match (prefix, bound) {
            ("xml", _) => Ok((XML_NAMESPACE, local)),
            ("", _) if !is_element => Ok(("", local)),
            ("", bound) => Ok((bound.unwrap_or_default(), local)),
            (_, Some(uri)) => Ok((uri, local)),
            (_, None) => Err(format!("prefix {prefix:?} is bound to nothing")),
        }
    }

    fn resolve_attributes(&self, tag: &Tag<'a>) -> Result<Vec<Attribute<'a>>, String> {
        let mut found: Vec<Attribute<'a>> = Vec::with_capacity(tag.attributes.len());
        for (name, value) in &tag.attributes {
            if *name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            let (namespace, local) = self.resolve(name, false)?;
            // Two prefixes of one namespace make two spellings of one attribute.
            if found.iter().any(|other| other.namespace == namespace && other.local == local) {
                return Err(format!("attribute {local:?} of {:?} is repeated", tag.name));
            }
            found.push(Attribute { namespace, local, value });
        }
        Ok(found)
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.ok_or_else(|| format!("{mark:?} is missing before {:?}", excerpt(self.rest)))?;
        Ok(())
    }

    /// Whether there was any.
    fn skip_space(&mut self) -> bool {
        let rest = self.rest.trim_start_matches(|letter: char| u8::try_from(letter).is_ok_and(is_space));
        let any = rest.len() < self.rest.len();
        self.rest = rest;
        any
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// So that a message stays short.
fn excerpt(text: &str) -> String {
    text.chars().take(24).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element<'_>, String> {
        parse(text.as_bytes())
    }

    #[test]
    fn names_are_resolved_and_attributes_without_a_prefix_are_in_no_namespace() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <a xmlns="urn:d" xmlns:p='urn:p' x="1" p:x = "2"><p:b xmlns:p="urn:q" p:y=""/><c> t > </c></a>
        "#;
        let root = read(text).unwrap();
        assert!(root.is("urn:d", "a") && root.children[0].is("urn:q", "b") && root.children[1].is("urn:d", "c"));
        assert_eq!((root.attribute("", "x"), root.attribute("urn:p", "x")), (Some("1"), Some("2")));
        assert_eq!((root.children[0].attribute("urn:q", "y"), root.attribute("urn:q", "x")), (Some(""), None));
        assert_eq!((root.text, root.children[1].text), ("", " t > "));
        let mut seen = 0;
        root.walk(&mut |_| seen += 1);
        assert_eq!(seen, 3);
    }

    #[test]
    fn what_no_manifest_has_is_refused() {
        for text in [
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
            "<a>&amp;</a>",
            "<a x='&#65;'/>",
            "<a><!-- c --></a>",
            "<a><![CDATA[x]]></a>",
            "<a><?p x?></a>",
            "<?xml version=\"1.1\"?><a/>",
            "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>",
            " <?xml version=\"1.0\"?><a/>",
            "<a>x<b/></a>",
            "<a><b/>x</a>",
            "<a>\u{1}</a>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(parse(b"<a>\xff</a>").is_err());
        assert!(parse(b"\xef\xbb\xbf<a/>").is_err());
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in [
            "",
            " ",
            "a",
            "<a",
            "<a>",
            "<a></b>",
            "<a/><a/>",
            "<a/>x",
            "</a>",
            "<a x=1/>",
            "<a x='1/>",
            "<a x='<'/>",
            "<a x='1'y='2'/>",
            "<a x='1' x='2'/>",
            "<a x/>",
            "<1/>",
            "<a:b:c/>",
            "<:a/>",
            "<a:/>",
            "<p:a/>",
            "<a p:x='1'/>",
            "<a xmlns:p=''/>",
            "<a xmlns:xml='u'/>",
            "<a xmlns:xmlns='u'/>",
            "<a><b></a></b>",
            "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
            "<\u{e9}/>",
            "<a/ >",
            "<a><b xmlns:p='u'/><p:c/></a>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(read(&deep(MAX_XML_DEPTH)).is_ok() && read(&deep(MAX_XML_DEPTH + 1)).is_err());
        let wide = |count: usize| format!("<r>{}</r>", "<a/>".repeat(count));
        assert!(read(&wide(MAX_XML_ELEMENTS - 1)).is_ok() && read(&wide(MAX_XML_ELEMENTS)).is_err());
        let many = |count: usize| (0..count).map(|at| format!(" a{at}=''")).collect::<String>();
        let one = |count| format!("<a{}/>", many(count));
        assert!(read(&one(MAX_XML_ATTRIBUTES)).is_ok() && read(&one(MAX_XML_ATTRIBUTES + 1)).is_err());
        let each = MAX_XML_ATTRIBUTES;
        let all = |count: usize| format!("<r>{}</r>", one(each).repeat(count / each));
        assert!(read(&all(MAX_XML_ATTRIBUTES_IN_ALL)).is_ok() && read(&all(MAX_XML_ATTRIBUTES_IN_ALL + each)).is_err());
        let long = |size: usize| format!("<a>{}</a>", " ".repeat(size - 7));
        assert!(read(&long(MAX_RIM_BYTES)).is_ok() && read(&long(MAX_RIM_BYTES + 1)).is_err());
    }
}
