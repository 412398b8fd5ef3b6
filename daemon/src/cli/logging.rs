//! **Duty.** Where the service's log goes: to standard error, with systemd's mark of how bad a line is where systemd reads
//! it. Each line that matters carries `event=`, a name that stays (docs/node-service.md). **Does not know** what is logged;
//! readings never enter a log: they are private. **Spec.** ECOSYSTEM §4 (systemd).

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Logs from here on.
pub(super) fn begin() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if is_journal() {
        log.with_ansi(false).event_format(Marked).init();
    } else {
        log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init();
    }
}

/// systemd sets it where standard error is connected to the journal (systemd.exec, $JOURNAL_STREAM).
fn is_journal() -> bool {
    #[expect(clippy::disallowed_methods, reason = "asked once, at the door, how the log is read")]
    let stream = std::env::var_os("JOURNAL_STREAM");
    stream.is_some()
}

/// The journal keeps the time itself; the mark in front is its priority (sd-daemon(3)).
struct Marked;

impl<S, N> FormatEvent<S, N> for Marked
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "{}", mark(*event.metadata().level()))?;
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn mark(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_the_journal_has_its_mark_its_event_and_no_time() {
        let kept = Kept::default();
        let writer = {
            let kept = kept.clone();
            move || kept.clone()
        };
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).event_format(Marked).finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(event = "head-not-quoted", index = 4, "a head could not be quoted");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<4>a head could not be quoted event=\"head-not-quoted\" index=4\n");
    }
}
