//! **Duty.** The heartbeat: lets time pass for the node, feeds the watchdog only when that went well.
//! **Does not know** when an interval is due. **Spec.** ECOSYSTEM §4 (systemd).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use weighbridge_daemon_api::NodeState;

use super::notify;
use super::service::{Health, Service};
use crate::error::NodeError;

/// Four looks per shortest interval.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// Counters are looked at once a second (COMPUTE §8).
const SAMPLE: Duration = Duration::from_secs(1);

/// Looks at the counters until told to stop. It is a loop of its own: the heartbeat must not wait for a driver.
pub(super) async fn sample(service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut seconds = tokio::time::interval(SAMPLE);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        if let Err(error) = service.sample().await {
            tracing::warn!(event = "counters-not-taken", code = error.code(), %error, "counters could not be taken");
        }
    }
}

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
