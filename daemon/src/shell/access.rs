//! **Duty.** Who may speak: the kernel's word about the other end of a connection, held against the configuration.
//! **Does not know** what is asked. **Spec.** TRAINING §5 (SO_PEERCRED).

use rustix::process::geteuid;
use weighbridge_attest_types::Culprit;
use weighbridge_daemon_api::Problem;

use crate::config::Config;

/// Who is on the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    /// The primary group; of the others the kernel does not tell.
    pub(super) gid: u32,
}

impl Peer {
    /// A peer of which the kernel said nothing: nobody's number.
    pub(super) const UNKNOWN: Self = Self { uid: u32::MAX, gid: u32::MAX };

    /// Whether it may have what opens every reading.
    pub(super) fn is_owner(self) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw()
    }
}

/// Refuses a peer whom the configuration does not name. Without names, the socket file's mode has decided already.
pub(super) fn admit(peer: Peer, config: &Config) -> Result<(), Box<Problem>> {
    let anybody = config.allow_uids.is_empty() && config.allow_gids.is_empty();
    let named = config.allow_uids.contains(&peer.uid) || config.allow_gids.contains(&peer.gid);
    if peer != Peer::UNKNOWN && (anybody || named || peer.is_owner()) {
        return Ok(());
    }
    let detail = format!("user {} of group {} may not speak to this service", peer.uid, peer.gid);
    let remedy = "add the user to `allow_uids` or its primary group to `allow_gids`, and reload the service";
    Err(Box::new(Problem::new(Culprit::Usage, "peer-not-allowed", detail, remedy).with_status(403)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_configuration_shut_everybody_else_out() {
        let own = geteuid().as_raw();
        let peer = |uid, gid| Peer { uid, gid };
        let open = Config::default();
        assert!(admit(peer(4_000, 4_000), &open).is_ok());
        assert!(admit(Peer::UNKNOWN, &open).is_err());
        let named = Config { allow_uids: vec![4_001], allow_gids: vec![4_002], ..Config::default() };
        for allowed in [peer(4_001, 9), peer(9, 4_002), peer(0, 9), peer(own, 9)] {
            assert!(admit(allowed, &named).is_ok(), "{allowed:?}");
        }
        let refused = admit(peer(4_002, 4_001), &named).unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (403, "peer-not-allowed"));
        assert_eq!(refused.detail, "user 4002 of group 4001 may not speak to this service");
    }
}
