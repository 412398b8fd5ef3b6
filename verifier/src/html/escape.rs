//! **Duty.** THE escaper of the page: every `{{ … }}` of the template passes through it (`askama.toml`). Markup is
//! defused and hidden characters are spelled out.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};

use crate::visible::visible;

/// HTML escaping of visible text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, dest: W, string: &str) -> fmt::Result {
        Html.write_escaped_str(dest, &visible(string))
    }
}
