//! What the operator or the runtime may set for the connections of one portal.

const SECOND_NS: u64 = 1_000_000_000;

/// Where a portal sends those who log in to a target (RFC 7143 §11.13.5, class 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The portal to log in at, `host:port`; it has to lead to the same target and must not redirect itself.
    pub address: String,
    /// For good (status 0102h): initiators may forget this portal. Else 0101h.
    pub permanent: bool,
}

/// The limits and times of a portal's connections. The defaults suit a disk that is served over a LAN.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// The portal as initiators reach it, `host:port` (`[v6]:port`); SendTargets names it for targets whose
    /// [`TargetRecord`](crate::TargetRecord) lists no portals.
    pub address: String,
    /// Set: nobody logs in to a target here; discovery is served. `address` is then best the same, for SendTargets.
    pub redirect: Option<Redirect>,
    /// Sent as `TargetAlias` in the first answer of a normal session's login; None: not sent.
    pub target_alias: Option<String>,
    /// The longest data segment that this side takes (`MaxRecvDataSegmentLength`), 512 to 16777215 bytes.
    pub max_recv_data_segment_length: u32,
    /// Upper limit for the negotiated `MaxBurstLength`, 512 to 16777215 bytes.
    pub max_burst_length: u32,
    /// Upper limit for the negotiated `FirstBurstLength`, 512 bytes to `max_burst_length`.
    pub first_burst_length: u32,
    /// Upper limit for the negotiated `MaxOutstandingR2T` (of each command), 1 to 65535.
    pub max_outstanding_r2t: u32,
    /// Commands that may be open at once (the size of the CmdSN window), 1 to 4096.
    pub command_window: u32,
    /// The longest Expected Data Transfer Length of a write in bytes; a longer one gets CHECK CONDITION.
    pub max_command_data_bytes: u32,
    /// How many bytes of write data a connection may hold beyond first bursts; commands over it wait for their R2T.
    /// One command is let through even if it alone is longer.
    pub data_out_budget_bytes: u64,
    /// The longest text of one negotiation exchange in bytes, over all its PDUs.
    pub max_text_bytes: usize,
    /// A connection that is not logged in after this time is closed.
    pub login_timeout_ns: u64,
    /// A logged-in connection that says nothing for this time is asked by a NOP-In; 0: never.
    pub ping_idle_ns: u64,
    /// A connection that says nothing for this time after the NOP-In is closed.
    pub ping_timeout_ns: u64,
}

impl PortalConfig {
    /// The declared `MaxRecvDataSegmentLength`, kept within the standard's range.
    pub(crate) fn segment_limit(&self) -> u32 {
        self.max_recv_data_segment_length.clamp(512, 0x00ff_ffff)
    }

    /// The size of the command window, kept within 1 to 4096.
    pub(crate) fn window_size(&self) -> u32 {
        self.command_window.clamp(1, 4096)
    }
}

impl Default for PortalConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:3260".to_owned(),
            redirect: None,
            target_alias: None,
            max_recv_data_segment_length: 256 << 10,
            max_burst_length: 1 << 20,
            first_burst_length: 256 << 10,
            max_outstanding_r2t: 4,
            command_window: 128,
            max_command_data_bytes: 16 << 20,
            data_out_budget_bytes: 32 << 20,
            max_text_bytes: 64 << 10,
            login_timeout_ns: 15 * SECOND_NS,
            ping_idle_ns: 10 * SECOND_NS,
            ping_timeout_ns: 10 * SECOND_NS,
        }
    }
}
