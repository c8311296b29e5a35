//! Negotiation of the operational keys (RFC 7143 §6.2 and §13), driven by one table.
//!
//! Rules:
//! 1. Every key that is offered gets exactly one answer, except declarations, which get none.
//! 2. A value out of range or of the wrong kind is answered `Reject` and leaves the key as it was.
//! 3. Keys that mean nothing in a discovery session are answered `Irrelevant` there.
//! 4. A key that is not in the table is answered `NotUnderstood`.

use crate::config::PortalConfig;
use crate::event::SessionKind;
use crate::parameters::{Key, Parameters};
use crate::text::{parse_boolean, parse_number};

const NOT_UNDERSTOOD: &str = "NotUnderstood";
const IRRELEVANT: &str = "Irrelevant";
const REJECT: &str = "Reject";
const SEGMENT_RANGE: (u32, u32) = (512, 0x00ff_ffff);

/// How a key's result follows from both sides' values.
enum Rule {
    /// List of digests by the initiator's preference.
    Digest,
    /// Boolean, yes if both say so; this side says yes.
    And,
    /// Boolean, yes if one says so; this side says as given.
    Or(bool),
    /// The smaller number, within the range.
    Min(u32, u32),
    /// The greater number, within the range.
    Max(u32, u32),
    /// A number that the initiator declares for itself.
    Declared(u32, u32),
}

/// When a key may be negotiated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In login only, not in a discovery session.
    LoginNormal,
    /// In login only.
    Login,
    /// At any time.
    Always,
}

struct Entry {
    name: &'static str,
    key: Key,
    scope: Scope,
    rule: Rule,
}

const fn entry(name: &'static str, key: Key, scope: Scope, rule: Rule) -> Entry {
    Entry {
        name,
        key,
        scope,
        rule,
    }
}

const TABLE: [Entry; 15] = [
    entry(
        "HeaderDigest",
        Key::HeaderDigest,
        Scope::Login,
        Rule::Digest,
    ),
    entry("DataDigest", Key::DataDigest, Scope::Login, Rule::Digest),
    entry(
        "MaxConnections",
        Key::MaxConnections,
        Scope::LoginNormal,
        Rule::Min(1, 65535),
    ),
    entry(
        "InitialR2T",
        Key::InitialR2T,
        Scope::LoginNormal,
        Rule::Or(false),
    ),
    entry(
        "ImmediateData",
        Key::ImmediateData,
        Scope::LoginNormal,
        Rule::And,
    ),
    entry(
        "MaxRecvDataSegmentLength",
        Key::MaxRecvDataSegmentLength,
        Scope::Always,
        Rule::Declared(SEGMENT_RANGE.0, SEGMENT_RANGE.1),
    ),
    entry(
        "MaxBurstLength",
        Key::MaxBurstLength,
        Scope::LoginNormal,
        Rule::Min(SEGMENT_RANGE.0, SEGMENT_RANGE.1),
    ),
    entry(
        "FirstBurstLength",
        Key::FirstBurstLength,
        Scope::LoginNormal,
        Rule::Min(SEGMENT_RANGE.0, SEGMENT_RANGE.1),
    ),
    entry(
        "DefaultTime2Wait",
        Key::DefaultTime2Wait,
        Scope::Login,
        Rule::Max(0, 3600),
    ),
    entry(
        "DefaultTime2Retain",
        Key::DefaultTime2Retain,
        Scope::Login,
        Rule::Min(0, 3600),
    ),
    entry(
        "MaxOutstandingR2T",
        Key::MaxOutstandingR2T,
        Scope::LoginNormal,
        Rule::Min(1, 65535),
    ),
    entry(
        "DataPDUInOrder",
        Key::DataPduInOrder,
        Scope::LoginNormal,
        Rule::Or(true),
    ),
    entry(
        "DataSequenceInOrder",
        Key::DataSequenceInOrder,
        Scope::LoginNormal,
        Rule::Or(true),
    ),
    entry(
        "ErrorRecoveryLevel",
        Key::ErrorRecoveryLevel,
        Scope::Login,
        Rule::Min(0, 2),
    ),
    entry(
        "iSCSIProtocolLevel",
        Key::ProtocolLevel,
        Scope::LoginNormal,
        Rule::Min(0, 31),
    ),
];

/// This side's value of a numeric key.
fn own_value(key: Key, config: &PortalConfig) -> u32 {
    match key {
        Key::MaxBurstLength => config.max_burst_length,
        Key::FirstBurstLength => config.first_burst_length.min(config.max_burst_length),
        Key::MaxOutstandingR2T => config.max_outstanding_r2t,
        Key::MaxConnections | Key::ProtocolLevel => 1,
        // Nothing survives a connection here, so there is nothing to wait for and nothing to retain.
        _ => 0,
    }
}

/// Where a key is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Operational stage of login.
    Login,
    /// A text request in full feature phase.
    FullFeature,
}

/// Negotiate one operational key: note the result and return the answer, None if it takes none.
pub(crate) fn negotiate(
    name: &str,
    value: &str,
    phase: Phase,
    kind: SessionKind,
    config: &PortalConfig,
    parameters: &mut Parameters,
) -> Option<String> {
    let Some(entry) = TABLE.iter().find(|entry| entry.name == name) else {
        return Some(unlisted(name, value, phase, kind).to_owned());
    };
    if phase == Phase::FullFeature && entry.scope != Scope::Always {
        return Some(REJECT.to_owned());
    }
    if kind == SessionKind::Discovery && entry.scope == Scope::LoginNormal {
        return Some(IRRELEVANT.to_owned());
    }
    let Some((result, answer)) = apply(entry, value, config) else {
        return Some(REJECT.to_owned());
    };
    parameters.set(entry.key, result);
    answer
}

/// The result of a key and the answer to be sent; None if the value is no good.
fn apply(entry: &Entry, value: &str, config: &PortalConfig) -> Option<(u32, Option<String>)> {
    let yes_no = |yes: bool| {
        (
            u32::from(yes),
            Some(if yes { "Yes" } else { "No" }.to_owned()),
        )
    };
    let number =
        |low: u32, high: u32| parse_number(value).filter(|number| (low..=high).contains(number));
    Some(match entry.rule {
        Rule::Digest => {
            let choice = value
                .split(',')
                .find(|name| ["CRC32C", "None"].contains(name))?;
            (u32::from(choice == "CRC32C"), Some(choice.to_owned()))
        }
        Rule::And => yes_no(parse_boolean(value)?),
        Rule::Or(own) => yes_no(parse_boolean(value)? || own),
        Rule::Min(low, high) => {
            let result = number(low, high)?.min(own_value(entry.key, config).clamp(low, high));
            (result, Some(result.to_string()))
        }
        Rule::Max(low, high) => {
            let result = number(low, high)?.max(own_value(entry.key, config).clamp(low, high));
            (result, Some(result.to_string()))
        }
        Rule::Declared(low, high) => (number(low, high)?, None),
    })
}

/// Answers that need no table: keys without a result to keep.
fn unlisted(name: &str, value: &str, phase: Phase, kind: SessionKind) -> &'static str {
    match name {
        "TaskReporting" if phase == Phase::Login => {
            if kind == SessionKind::Discovery {
                IRRELEVANT
            } else if value.split(',').any(|choice| choice == "RFC3720") {
                "RFC3720"
            } else {
                REJECT
            }
        }
        // Obsolete (RFC 7143 §13.25): never NotUnderstood; older initiators take No better than Reject.
        "OFMarker" | "IFMarker" => "No",
        "OFMarkInt" | "IFMarkInt" => REJECT,
        // Known, but not here or not from an initiator.
        "TaskReporting"
        | "AuthMethod"
        | "SessionType"
        | "InitiatorName"
        | "TargetName"
        | "TargetAlias"
        | "TargetAddress"
        | "TargetPortalGroupTag"
        | "SendTargets" => REJECT,
        _ => NOT_UNDERSTOOD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, value: &str) -> (Option<String>, Parameters) {
        let mut parameters = Parameters::default();
        let config = PortalConfig::default();
        let answer = negotiate(
            name,
            value,
            Phase::Login,
            SessionKind::Normal,
            &config,
            &mut parameters,
        );
        (answer, parameters)
    }

    #[test]
    fn results_follow_the_standards_functions() {
        for (name, offered, expected) in [
            ("HeaderDigest", "CRC32C,None", "CRC32C"),
            ("HeaderDigest", "None,CRC32C", "None"),
            ("DataDigest", "X-fast,CRC32C", "CRC32C"),
            ("DataDigest", "X-fast", "Reject"),
            ("MaxConnections", "8", "1"),
            ("MaxConnections", "0", "Reject"),
            ("InitialR2T", "No", "No"),
            ("InitialR2T", "Yes", "Yes"),
            ("InitialR2T", "maybe", "Reject"),
            ("ImmediateData", "Yes", "Yes"),
            ("ImmediateData", "No", "No"),
            ("MaxBurstLength", "16776192", "1048576"),
            ("MaxBurstLength", "0x2000", "8192"),
            ("MaxBurstLength", "511", "Reject"),
            ("MaxBurstLength", "16777216", "Reject"),
            ("FirstBurstLength", "65536", "65536"),
            ("DefaultTime2Wait", "2", "2"),
            ("DefaultTime2Wait", "3601", "Reject"),
            ("DefaultTime2Retain", "20", "0"),
            ("MaxOutstandingR2T", "16", "4"),
            ("DataPDUInOrder", "No", "Yes"),
            ("DataSequenceInOrder", "No", "Yes"),
            ("ErrorRecoveryLevel", "2", "0"),
            ("ErrorRecoveryLevel", "3", "Reject"),
            ("iSCSIProtocolLevel", "2", "1"),
            ("TaskReporting", "FastAbort,RFC3720", "RFC3720"),
            ("TaskReporting", "FastAbort", "Reject"),
            ("OFMarker", "No", "No"),
            ("IFMarkInt", "1~8", "Reject"),
            ("X-com.example.key", "1", "NotUnderstood"),
            ("TargetAlias", "a", "Reject"),
        ] {
            assert_eq!(
                answer(name, offered).0.as_deref(),
                Some(expected),
                "{name}={offered}"
            );
        }
    }

    #[test]
    fn a_declaration_is_noted_and_not_answered() {
        let (answered, parameters) = answer("MaxRecvDataSegmentLength", "65536");
        assert_eq!(answered, None);
        assert_eq!(parameters.get(Key::MaxRecvDataSegmentLength), 65536);
        let (answered, parameters) = answer("MaxRecvDataSegmentLength", "100");
        assert_eq!(answered.as_deref(), Some("Reject"));
        assert_eq!(parameters.get(Key::MaxRecvDataSegmentLength), 8192);
    }

    #[test]
    fn discovery_sessions_find_session_keys_irrelevant() {
        let mut parameters = Parameters::default();
        let config = PortalConfig::default();
        for (name, value, expected) in [
            ("MaxBurstLength", "8192", "Irrelevant"),
            ("InitialR2T", "No", "Irrelevant"),
            ("TaskReporting", "RFC3720", "Irrelevant"),
            ("DefaultTime2Wait", "0", "0"),
            ("ErrorRecoveryLevel", "0", "0"),
        ] {
            let kind = SessionKind::Discovery;
            let answered = negotiate(name, value, Phase::Login, kind, &config, &mut parameters);
            assert_eq!(answered.as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn full_feature_phase_changes_only_the_segment_length() {
        let mut parameters = Parameters::default();
        let config = PortalConfig::default();
        let mut answer = |name, value| {
            negotiate(
                name,
                value,
                Phase::FullFeature,
                SessionKind::Normal,
                &config,
                &mut parameters,
            )
        };
        assert_eq!(answer("MaxBurstLength", "8192").as_deref(), Some("Reject"));
        assert_eq!(answer("MaxRecvDataSegmentLength", "4096"), None);
        assert_eq!(parameters.get(Key::MaxRecvDataSegmentLength), 4096);
    }
}
