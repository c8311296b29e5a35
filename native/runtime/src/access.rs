//! Which states of both nodes' target port groups initiators are shown (docs/protocols/scsi.md, access states).
//!
//! Rules:
//!
//! * Pure. Nodes that mirror show the same: both derive it from the roles and the access mode, which they share.
//! * While commands are held, what was shown stays: nobody knows yet which node will go on. A node that served nothing asks
//!   for none before it is attached: what it held until then, it would have to refuse if its peer has served alone.
//! * A node that serves alone, or was told to, shows the peer as unavailable: its copy is durably out of date.
//! * A node that does not serve cannot know whether the peer does, and shows it as active/optimized. An initiator that asks
//!   only here must not conclude that no path is left.

use twindisk_mirror::copy::Standing;
use twindisk_mirror::{NotReady, Role};
use twindisk_scsi::AccessState;

/// How a VDisk's two paths are to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessMode {
    /// Both alike.
    #[default]
    ActiveActive,
    /// The Master's; the Slave's serves too, but is not preferred.
    ActivePassive,
}

impl AccessMode {
    /// The word for it, on Python's side too.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ActiveActive => "active-active",
            Self::ActivePassive => "active-passive",
        }
    }
}

/// The states of this node's group and of the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// This node's.
    pub own: AccessState,
    /// The peer's; told to nobody while the VDisk has no peer.
    pub peer: AccessState,
}

impl Shown {
    /// What follows when the copy stands as it does. `self` is what was shown before.
    #[must_use]
    pub fn next(self, access: AccessMode, standing: Standing) -> Self {
        match standing {
            Standing::Closed(why) => Self::closed(why),
            Standing::Alone => Self {
                own: AccessState::Optimized,
                peer: AccessState::Unavailable,
            },
            Standing::Mirroring(role) => Self::mirroring(access, role),
            Standing::Holding if self.own.is_active() => self,
            Standing::Holding => Self::closed(NotReady::Transitioning),
        }
    }

    /// What a node shows that does not serve.
    fn closed(why: NotReady) -> Self {
        Self {
            own: state_of(why),
            peer: AccessState::Optimized,
        }
    }

    /// What both nodes show while they mirror.
    #[must_use]
    pub fn mirroring(access: AccessMode, role: Role) -> Self {
        let (own, peer) = match (access, role) {
            (AccessMode::ActiveActive, _) => (AccessState::Optimized, AccessState::Optimized),
            (AccessMode::ActivePassive, Role::Master) => {
                (AccessState::Optimized, AccessState::NonOptimized)
            }
            (AccessMode::ActivePassive, Role::Slave) => {
                (AccessState::NonOptimized, AccessState::Optimized)
            }
        };
        Self { own, peer }
    }
}

/// The state of a node that serves nothing.
#[must_use]
pub fn state_of(not_ready: NotReady) -> AccessState {
    match not_ready {
        NotReady::Transitioning => AccessState::Transitioning,
        NotReady::Standby => AccessState::Standby,
        NotReady::Unavailable => AccessState::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Shown = Shown {
        own: AccessState::Transitioning,
        peer: AccessState::Optimized,
    };
    const MODES: [AccessMode; 2] = [AccessMode::ActiveActive, AccessMode::ActivePassive];
    const ROLES: [Role; 2] = [Role::Master, Role::Slave];

    #[test]
    fn both_nodes_of_a_mirroring_pair_show_the_same() {
        for access in MODES {
            let [master, slave] = ROLES.map(|role| CLOSED.next(access, Standing::Mirroring(role)));
            assert_eq!((master.own, master.peer), (slave.peer, slave.own));
            assert_eq!(master.own, AccessState::Optimized);
            assert!(slave.own.is_active());
        }
        let passive = CLOSED.next(AccessMode::ActivePassive, Standing::Mirroring(Role::Slave));
        assert_eq!(passive.own, AccessState::NonOptimized);
    }

    #[test]
    fn a_pause_changes_nothing_and_its_end_does() {
        for access in MODES {
            for role in ROLES {
                let before = CLOSED.next(access, Standing::Mirroring(role));
                assert_eq!(before.next(access, Standing::Holding), before);
                let alone = before.next(access, Standing::Alone);
                assert_eq!(alone.own, AccessState::Optimized);
                assert_eq!(alone.peer, AccessState::Unavailable);
                // Back, about to attach: it serves on.
                assert_eq!(alone.next(access, Standing::Holding), alone);
            }
        }
    }

    #[test]
    fn a_node_that_serves_nothing_sends_initiators_to_the_peer() {
        let alone = CLOSED.next(AccessMode::ActivePassive, Standing::Alone);
        for (why, own) in [
            (NotReady::Transitioning, AccessState::Transitioning),
            (NotReady::Standby, AccessState::Standby),
            (NotReady::Unavailable, AccessState::Unavailable),
        ] {
            for access in MODES {
                let shown = alone.next(access, Standing::Closed(why));
                assert_eq!((shown.own, shown.peer), (own, AccessState::Optimized));
            }
        }
    }

    #[test]
    fn a_copy_that_served_nothing_takes_no_commands_before_it_is_attached() {
        for access in MODES {
            for why in [NotReady::Transitioning, NotReady::Unavailable] {
                let closed = CLOSED.next(access, Standing::Closed(why));
                let shown = closed.next(access, Standing::Holding);
                assert_eq!(shown.own, AccessState::Transitioning);
                assert_eq!(shown.peer, AccessState::Optimized);
                let attached = shown.next(access, Standing::Mirroring(Role::Slave));
                assert!(attached.own.is_active());
            }
        }
    }
}
