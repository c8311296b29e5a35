//! Names of I_T nexuses, and TransportIDs (SPC-4 §7.6.4.6).

use std::fmt;

/// Longest iSCSI name (RFC 7143 §4.2.7.1).
pub(crate) const NAME_MAX_BYTES: usize = 223;
/// Bytes of a nexus beside its initiator's name.
const NEXUS_HEAD_BYTES: usize = 2 + 6 + 1;
/// Most bytes of a nexus ([`Nexus::encode`]).
pub(crate) const NEXUS_MAX_BYTES: usize = NEXUS_HEAD_BYTES + NAME_MAX_BYTES;
const PROTOCOL_ISCSI: u8 = 0x05;
/// FORMAT CODE 01b: name and ISID.
const WITH_ISID: u8 = 0x40;
const SEPARATOR: &str = ",i,0x";
/// A TransportID's ADDITIONAL LENGTH is at least this.
const SHORTEST: usize = 20;

/// An initiator port: the iSCSI name in lower case, as names compare, and the initiator's part of the session id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InitiatorPort {
    name: String,
    isid: [u8; 6],
}

impl InitiatorPort {
    /// Name a port; `None` when the name is empty or longer than an iSCSI name may be.
    #[must_use]
    pub fn new(name: &str, isid: [u8; 6]) -> Option<Self> {
        let name = name.to_lowercase();
        (1..=NAME_MAX_BYTES)
            .contains(&name.len())
            .then_some(Self { name, isid })
    }

    /// The iSCSI name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The initiator's part of the session id.
    #[must_use]
    pub fn isid(&self) -> [u8; 6] {
        self.isid
    }

    /// TransportID, format 01b.
    pub(crate) fn transport_id(&self) -> Vec<u8> {
        let digits: String = self.isid.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{}{SEPARATOR}{digits}\0", self.name);
        let length = text.len().next_multiple_of(4).max(SHORTEST);
        let mut id = vec![WITH_ISID | PROTOCOL_ISCSI, 0];
        id.extend((length as u16).to_be_bytes());
        id.extend(text.as_bytes());
        id.resize(4 + length, 0);
        id
    }
}

impl fmt::Debug for InitiatorPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}", self.name)?;
        self.isid
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An I_T nexus.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nexus {
    /// The initiator's end.
    pub initiator: InitiatorPort,
    /// Relative target port identifier of the target's end.
    pub target: u16,
}

impl Nexus {
    /// Bytes that [`Self::encode`] appends.
    pub(crate) fn len_bytes(&self) -> usize {
        NEXUS_HEAD_BYTES + self.initiator.name().len()
    }

    /// Append it as the state of both nodes has it (docs/formats/unit-state.md).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let name = self.initiator.name();
        out.extend(self.target.to_le_bytes());
        out.extend(self.initiator.isid());
        out.push(u8::try_from(name.len()).expect("names have at most 223 bytes"));
        out.extend(name.as_bytes());
    }

    /// Read one at the start of `rest`, which moves behind it.
    pub(crate) fn decode(rest: &mut &[u8]) -> Option<Self> {
        let target = u16::from_le_bytes(take(rest)?);
        let isid = take(rest)?;
        let [length] = take(rest)?;
        let (name, behind) = rest.split_at_checked(length.into())?;
        *rest = behind;
        let initiator = InitiatorPort::new(std::str::from_utf8(name).ok()?, isid)?;
        Some(Self { initiator, target })
    }
}

/// The bytes at the start of `rest`, which moves behind them.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

/// What a TransportID in a parameter list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransportId {
    /// One initiator port.
    Port(InitiatorPort),
    /// All ports of an initiator that are known (format 00b).
    Device(String),
}

/// Read the TransportID at the start of `bytes`; it and its length, or `None` if it is none of iSCSI's.
pub(crate) fn parse_transport_id(bytes: &[u8]) -> Option<(TransportId, usize)> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let text = rest.get(..length)?;
    if head[0] & 0x0f != PROTOCOL_ISCSI || length < SHORTEST || length % 4 != 0 {
        return None;
    }
    let end = text.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&text[..end]).ok()?;
    let id = match head[0] >> 6 {
        0 => TransportId::Device(InitiatorPort::new(text, [0; 6])?.name),
        1 => {
            let (name, digits) = text.split_once(SEPARATOR)?;
            TransportId::Port(InitiatorPort::new(name, isid_of(digits)?)?)
        }
        _ => return None,
    };
    Some((id, 4 + length))
}

fn isid_of(digits: &str) -> Option<[u8; 6]> {
    if digits.len() != 12 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut isid = [0; 6];
    for (at, byte) in isid.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(isid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_id_is_what_spc_says_and_reads_back() {
        let port = InitiatorPort::new("iqn.2024-01.X:a", [0x80, 0, 0, 1, 2, 0xff]).unwrap();
        let id = port.transport_id();
        assert_eq!(id[..4], [0x45, 0, 0, 36]);
        assert_eq!(&id[4..37], b"iqn.2024-01.x:a,i,0x8000000102ff\0");
        assert_eq!(id.len(), 40);
        let mut two = id.clone();
        two.push(9);
        assert_eq!(
            parse_transport_id(&two),
            Some((TransportId::Port(port), 40))
        );
    }

    #[test]
    fn other_protocols_formats_and_lengths_are_refused() {
        let good = InitiatorPort::new("iqn.a", [1; 6]).unwrap().transport_id();
        for (at, byte) in [
            (0, 0x46),
            (0, 0x85),
            (3, 19),
            (3, 16),
            (3, 0xff),
            (9, b'z'),
            (26, b'x'),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(parse_transport_id(&bad), None, "byte {at} = {byte:#x}");
        }
        for cut in 0..good.len() {
            assert_eq!(parse_transport_id(&good[..cut]), None);
        }
        let mut device = good;
        device[0] = 0x05;
        device[9] = 0;
        let name = TransportId::Device("iqn.a".to_owned());
        assert_eq!(parse_transport_id(&device), Some((name, 28)));
    }
}
