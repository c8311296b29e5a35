//! What a connection asks about the targets behind its portal.

use std::sync::Arc;

use crate::admission::Admission;

/// The targets as one portal shows them. Asked during login and for SendTargets only, never per command.
pub trait Directory {
    /// All targets to be named by `SendTargets=All` to this initiator, in the order to be listed.
    fn targets(&self, initiator: &str) -> Vec<TargetRecord>;

    /// Look a target up for a login. iSCSI names compare without regard to case (RFC 7143 §4.2.7.1, RFC 3722).
    ///
    /// # Errors
    /// Why the initiator may not log in to it; becomes the login's status.
    fn find(&self, target: &str, initiator: &str) -> Result<TargetInfo, TargetRefusal>;

    /// Who may hold discovery sessions.
    fn discovery(&self) -> Arc<Admission>;
}

/// A target as SendTargets lists it (RFC 7143 appendix C).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRecord {
    /// The iSCSI name, e.g. `iqn.2006-06.com.quadstor.vdisk.M1`.
    pub name: String,
    /// Tag of the portal group that the asked portal is in; used when `portals` is empty.
    pub group_tag: u16,
    /// Where it is to be reached; empty: at the portal that is asked ([`PortalConfig::address`](crate::PortalConfig)).
    pub portals: Vec<Portal>,
}

/// One address of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    /// `host:port`, an IPv6 host in brackets.
    pub address: String,
    /// The portal group's tag.
    pub group_tag: u16,
}

/// A target that takes logins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    /// The name as configured; [`SessionRequest::target`](crate::SessionRequest) carries it.
    pub name: String,
    /// Tag of the portal group, sent as `TargetPortalGroupTag`.
    pub group_tag: u16,
    /// Who is let in; [`Directory::find`] has looked at the initiator's name already.
    pub admission: Arc<Admission>,
}

/// Why a target takes no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetRefusal {
    /// No such target: status 0203h.
    NotFound,
    /// There was one, and it will not come back: status 0204h.
    Removed,
    /// This initiator may not: status 0202h.
    Forbidden,
    /// It exists but is not ready to be shown yet: status 0301h, the initiator tries again.
    Unavailable,
}
