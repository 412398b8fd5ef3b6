//! **Duty.** Parses every Rust file once and hands out its functions and attributes with their lines.
//! **Knows** syntax. **Does not know** any rule.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Attribute, Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

use crate::tree;

/// One function with a body.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Line of its signature.
    pub(crate) line: usize,
    /// Lines from the signature to the closing brace.
    pub(crate) length: usize,
}

/// One attribute, inner or outer.
pub(crate) struct Mark {
    /// Line.
    pub(crate) line: usize,
    /// Last word of its path, such as `allow`.
    pub(crate) name: String,
    /// Everything inside it, as tokens.
    pub(crate) tokens: String,
}

/// A Rust file, parsed.
pub(crate) struct RustFile {
    /// The text.
    pub(crate) file: tree::TextFile,
    /// Functions in source order.
    pub(crate) functions: Vec<Function>,
    /// Attributes in source order.
    pub(crate) marks: Vec<Mark>,
}

/// Every Rust file of the tree.
pub(crate) fn rust_files() -> Vec<RustFile> {
    tree::files(&[".rs"]).into_iter().map(parse).collect()
}

/// Parses one file.
pub(crate) fn parse(file: tree::TextFile) -> RustFile {
    let syntax = syn::parse_file(&file.text).unwrap_or_else(|e| panic!("{} does not parse: {e}", file.path));
    let mut reader = Reader::default();
    reader.visit_file(&syntax);
    RustFile { file, functions: reader.functions, marks: reader.marks }
}

#[derive(Default)]
struct Reader {
    functions: Vec<Function>,
    marks: Vec<Mark>,
}

impl Reader {
    fn function(&mut self, signature: &Signature, body: &Block) {
        let (first, last) = (first_line(signature.span()), body.span().end().line);
        let length = last + 1 - first;
        self.functions.push(Function { name: signature.ident.to_string(), line: first, length });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let name = attribute.path().segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        self.marks.push(Mark { line: first_line(attribute.span()), name, tokens });
    }
}

fn first_line(span: Span) -> usize {
    span.start().line
}
