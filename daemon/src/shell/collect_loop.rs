//! **Duty.** The heartbeat: lets time pass for the node, feeds the watchdog only when that went well.
//! **Does not know** when an interval is due. **Spec.** ECOSYSTEM §4 (systemd).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weighbridge_daemon_api::NodeState;

use super::notify;
use super::service::{Health, Service};
use crate::error::NodeError;

/// Four looks per shortest interval.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// Runs until told to stop. An error means that nothing more can be acknowledged: the service has to start again.
pub(super) async fn run(service: Arc<Service>, mut stop: watch::Receiver<bool>) -> Result<(), NodeError> {
    let mut told = None;
    loop {
        let health = service.tick().await?;
        notify::watchdog();
        if told.as_ref() != Some(&health) {
            tell(&health);
            told = Some(health);
        }
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            _ = stop.wait_for(|stopped| *stopped) => return Ok(()),
        }
    }
}

fn tell(health: &Health) {
    match health {
        Health::Good(state) => notify::status(match state {
            NodeState::Waiting => "waiting for a run",
            NodeState::Running => "in a run",
            NodeState::Ended => "run ended",
        }),
        Health::Halted(why) => {
            tracing::error!(event = "run-halted", "{why}");
            notify::status(why);
        }
    }
}
