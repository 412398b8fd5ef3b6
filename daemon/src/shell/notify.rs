//! **Duty.** Tells systemd how the service is. Outside systemd it says nothing. **Spec.** ECOSYSTEM §4 (systemd).

use sd_notify::NotifyState;

/// The socket answers.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The service is going down in order.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`; it must not hold a reading.
pub(super) fn status(line: &str) {
    send(&[NotifyState::Status(line)]);
}

/// The loop is healthy. Called by nobody else: a watchdog fed by a timer watches the timer.
pub(super) fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
