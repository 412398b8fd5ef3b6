//! **Duty.** SIGHUP reads the configuration anew and hands it on; one that does not parse is told of and left alone.
//! **Does not know** what can change while running. **Spec.** ECOSYSTEM §4 (systemd).

use std::io;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::error::chain_text;

/// Configurations as they are asked for.
pub(super) fn on_hangup(file: Option<PathBuf>) -> io::Result<mpsc::Receiver<Config>> {
    let mut hangups = signal(SignalKind::hangup())?;
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match Config::load(file.as_deref()) {
                Ok(config) => {
                    if send.send(config).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(event = "config-not-reloaded", "{}; it stays as it was", chain_text(&error));
                }
            }
        }
    });
    Ok(receive)
}
