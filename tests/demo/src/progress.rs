//! **Duty.** What people see while they wait: a bar on a terminal, plain lines elsewhere, nothing in tests.
//! **Does not know** what is going on.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Plain progress lines come about this often per stage.
const PLAIN_LINES: u64 = 10;

/// Where progress and findings appear.
#[derive(Debug, Clone)]
pub struct Screen {
    bar: ProgressBar,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Terminal,
    Plain,
    Silent,
}

impl Screen {
    /// A bar when standard error is a terminal, lines on standard output otherwise.
    #[must_use]
    pub fn for_people() -> Self {
        if std::io::stderr().is_terminal() {
            Self { bar: ProgressBar::new(0), mode: Mode::Terminal }
        } else {
            Self { bar: ProgressBar::hidden(), mode: Mode::Plain }
        }
    }

    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self { bar: ProgressBar::hidden(), mode: Mode::Silent }
    }

    /// One line that stays.
    pub fn line(&self, text: &str) {
        if self.mode != Mode::Silent {
            self.bar.suspend(|| println!("{text}"));
        }
    }

    /// Starts a stage of known length.
    pub(crate) fn counted(&self, length: u64) {
        self.bar.reset();
        self.bar.set_length(length);
        self.style("  {bar:16} {pos}/{len} {wide_msg}");
    }

    /// Starts a stage of unknown length.
    pub(crate) fn open_ended(&self) {
        self.bar.reset();
        self.style("  {spinner} {elapsed} {wide_msg}");
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// How far a counted stage is.
    pub(crate) fn at(&self, position: u64, message: &str) {
        self.bar.set_position(position);
        self.bar.set_message(message.to_owned());
        let length = self.bar.length().unwrap_or(position).max(1);
        let due = |at: u64| at * PLAIN_LINES / length;
        let is_due = position == 1 || position >= length || due(position) != due(position.saturating_sub(1));
        if self.mode == Mode::Plain && is_due {
            println!("  {position}/{length} {message}");
        }
    }

    /// What an open-ended stage does now.
    pub(crate) fn now(&self, message: &str) {
        self.bar.set_message(message.to_owned());
        if self.mode == Mode::Plain {
            println!("  {message}");
        }
    }

    /// Ends a stage's display; lines remain.
    pub(crate) fn done(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        if self.mode == Mode::Terminal {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}
