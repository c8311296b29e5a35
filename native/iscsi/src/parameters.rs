//! The negotiated parameters of a session, with the defaults of RFC 7143 §13.

/// The operational keys whose results this target acts on or reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Key {
    HeaderDigest,
    DataDigest,
    MaxConnections,
    InitialR2T,
    ImmediateData,
    MaxRecvDataSegmentLength,
    MaxBurstLength,
    FirstBurstLength,
    DefaultTime2Wait,
    DefaultTime2Retain,
    MaxOutstandingR2T,
    DataPduInOrder,
    DataSequenceInOrder,
    ErrorRecoveryLevel,
    ProtocolLevel,
}

/// How many [`Key`]s there are.
pub(crate) const KEY_COUNT: usize = Key::ProtocolLevel as usize + 1;

/// The results of a negotiation; booleans and digests are 0 or 1.
///
/// `MaxRecvDataSegmentLength` here is the initiator's: the longest segment that this side may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    values: [u32; KEY_COUNT],
}

impl Default for Parameters {
    fn default() -> Self {
        let mut values = [0; KEY_COUNT];
        for (key, default) in [
            (Key::MaxConnections, 1),
            (Key::InitialR2T, 1),
            (Key::ImmediateData, 1),
            (Key::MaxRecvDataSegmentLength, 8192),
            (Key::MaxBurstLength, 262_144),
            (Key::FirstBurstLength, 65_536),
            (Key::DefaultTime2Wait, 2),
            (Key::DefaultTime2Retain, 20),
            (Key::MaxOutstandingR2T, 1),
            (Key::DataPduInOrder, 1),
            (Key::DataSequenceInOrder, 1),
            (Key::ProtocolLevel, 1),
        ] {
            values[key as usize] = default;
        }
        Self { values }
    }
}

impl Parameters {
    /// The value of a key: negotiated, or the standard's default.
    pub(crate) fn get(&self, key: Key) -> u32 {
        self.values[key as usize]
    }

    /// Note a key's result.
    pub(crate) fn set(&mut self, key: Key, value: u32) {
        self.values[key as usize] = value;
    }

    /// Whether a boolean key or a digest is on.
    pub(crate) fn is_on(&self, key: Key) -> bool {
        self.get(key) != 0
    }

    /// How many bytes of a write may come without R2T; never more than a burst, whatever was negotiated.
    pub(crate) fn first_burst(&self) -> u32 {
        self.get(Key::FirstBurstLength)
            .min(self.get(Key::MaxBurstLength))
    }
}
