//! **Duty.** Two streams and whether they show colour. **Does not know** what is printed on them.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::CliError;
use crate::visible::visible;

/// Standard output and standard error, or what stands in for them.
pub(super) struct Console<'a> {
    /// Answers.
    pub(super) out: &'a mut dyn Write,
    /// Messages for people beside an answer.
    pub(super) err: &'a mut dyn Write,
    pub(super) out_colour: bool,
    pub(super) err_colour: bool,
    /// Progress is drawn on a terminal only.
    pub(super) err_is_terminal: bool,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

impl Console<'_> {
    /// Prints an answer.
    pub(super) fn print(&mut self, text: &str) -> Result<(), CliError> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(CliError::Output)
    }

    /// Tells a person something beside the answer.
    pub(super) fn tell(&mut self, text: &str) -> Result<(), CliError> {
        self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush()).map_err(CliError::Output)
    }

    pub(super) const fn out_paint(&self) -> Paint {
        Paint { on: self.out_colour }
    }

    pub(super) const fn err_paint(&self) -> Paint {
        Paint { on: self.err_colour }
    }

    /// A spinner that names the stage of a long piece of work.
    pub(super) fn spinner(&self) -> ProgressBar {
        if !self.err_is_terminal {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// A bar over a number of draws.
    pub(super) fn draw_bar(&self) -> ProgressBar {
        if !self.err_is_terminal {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len} draws, {eta} left");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// A bar over a number of bytes.
    pub(super) fn byte_bar(&self) -> ProgressBar {
        if !self.err_is_terminal {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{bar:32} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left",
        );
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

impl Paint {
    /// None.
    pub(super) const fn plain() -> Self {
        Self { on: false }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.dress("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.dress("31", text)
    }

    pub(super) fn doubt(self, text: &str) -> String {
        self.dress("33", text)
    }

    pub(super) fn quiet(self, text: &str) -> String {
        self.dress("2", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.dress("1", text)
    }

    fn dress(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// An error as a person reads it: what, why, what to do.
pub(super) fn failure(error: &CliError, paint: Paint) -> String {
    let mut text = format!("{} {}\n", paint.bad("error:"), visible(&error.chain()));
    if let Some(remedy) = error.remedy() {
        text.push_str(&format!("  {}\n", visible(&remedy)));
    }
    text
}

/// `NO_COLOR` (no-color.org) and terminals that cannot.
#[expect(clippy::disallowed_methods, reason = "the door: NO_COLOR and TERM are conventions of the environment")]
pub(super) fn colour_is_wanted() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !no_colour && !dumb
}
