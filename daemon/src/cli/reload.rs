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

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn each_hangup_reads_the_file_anew_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.toml");
        let mut reloads = on_hangup(Some(file.clone())).unwrap();
        for (text, expected) in [("attest_every_intervals = 3", 3), ("attest_every = 4", 0), ("", 10)] {
            std::fs::write(&file, text).unwrap();
            kill_process(getpid(), Signal::HUP).unwrap();
            let wait = std::time::Duration::from_secs(if expected == 0 { 1 } else { 30 });
            let taken = tokio::time::timeout(wait, reloads.recv()).await;
            assert_eq!(taken.ok().flatten().map_or(0, |config| config.attest_every_intervals), expected, "{text}");
        }
    }
}
