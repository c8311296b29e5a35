//! SendTargets (RFC 7143 appendix C).

use crate::config::PortalConfig;
use crate::directory::{Directory, TargetRecord};
use crate::event::SessionKind;
use crate::text::put_pair;

/// Answer `SendTargets=value` by appending to `reply`; false if the value is to be rejected.
///
/// In a discovery session: `All`, or one target's name (an unknown one is answered by nothing). In a normal session,
/// which is to learn of its own target only: an empty value or that target's name. `All` is answered as an empty
/// value there: the standard leaves it undefined, and initiators are known to ask.
pub(crate) fn send_targets(
    value: &str,
    kind: SessionKind,
    own_target: Option<&str>,
    initiator: &str,
    directory: &dyn Directory,
    config: &PortalConfig,
    reply: &mut Vec<u8>,
) -> bool {
    let wanted = match (kind, value, own_target) {
        (SessionKind::Discovery, "All", _) => None,
        (SessionKind::Discovery, "", _) => return false,
        (SessionKind::Discovery, name, _) if is_iscsi_name(name) => Some(name),
        (SessionKind::Normal, "" | "All", Some(own)) => Some(own),
        (SessionKind::Normal, name, Some(own)) if name.eq_ignore_ascii_case(own) => Some(own),
        _ => return false,
    };
    for record in directory.targets(initiator) {
        if wanted.is_none_or(|name| record.name.eq_ignore_ascii_case(name)) {
            put_record(&record, config, reply);
        }
    }
    true
}

fn put_record(record: &TargetRecord, config: &PortalConfig, reply: &mut Vec<u8>) {
    put_pair(reply, "TargetName", &record.name);
    if record.portals.is_empty() {
        let address = format!("{},{}", config.address, record.group_tag);
        put_pair(reply, "TargetAddress", &address);
    }
    for portal in &record.portals {
        put_pair(
            reply,
            "TargetAddress",
            &format!("{},{}", portal.address, portal.group_tag),
        );
    }
}

/// Whether a value has the form of an iSCSI name (RFC 7143 §4.2.7).
fn is_iscsi_name(value: &str) -> bool {
    ["iqn.", "eui.", "naa."].iter().any(|prefix| {
        value
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}
