//! One sanitize operation and how far it is.

/// How the data are made unreadable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Every block is unmapped and reads as zeros.
    BlockErase,
    /// Every block is written, `count` times over.
    Overwrite {
        /// INITIALIZATION PATTERN, 1 byte to a block; it begins anew in each block.
        pattern: Vec<u8>,
        /// Every second pass, counted back from the last, writes the inverted pattern.
        invert: bool,
        /// OVERWRITE COUNT, 1 to 31.
        count: u8,
    },
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// How.
    pub method: Method,
    /// AUSE: a failure may be left by EXIT FAILURE MODE.
    pub(crate) unrestricted: bool,
    /// Passes that are over.
    pub pass: u8,
    /// Bytes from the start of the disk that the present pass has done, durably.
    pub done_bytes: u64,
}

impl Operation {
    /// An operation that has not done anything yet. `unrestricted`: a failure may be left by EXIT FAILURE MODE.
    #[must_use]
    pub fn new(method: Method, unrestricted: bool) -> Self {
        Self {
            method,
            unrestricted,
            pass: 0,
            done_bytes: 0,
        }
    }

    /// Passes in all.
    #[must_use]
    pub fn passes(&self) -> u8 {
        match self.method {
            Method::BlockErase => 1,
            Method::Overwrite { count, .. } => count,
        }
    }

    /// What a pass writes to each block; `None`: it unmaps them.
    #[must_use]
    pub fn block_of(&self, pass: u8, block_bytes: u64) -> Option<Vec<u8>> {
        let Method::Overwrite {
            pattern,
            invert,
            count,
        } = &self.method
        else {
            return None;
        };
        let mask = if *invert && count.wrapping_sub(pass) % 2 == 0 {
            0xff
        } else {
            0
        };
        let bytes = usize::try_from(block_bytes).unwrap_or(usize::MAX);
        let repeated = pattern.iter().cycle().take(bytes);
        Some(repeated.map(|byte| byte ^ mask).collect())
    }

    /// PROGRESS INDICATION: 65,536ths of the work that are done (SPC-4 §4.5.2.4.4).
    pub(crate) fn progress(&self, size_bytes: u64) -> u16 {
        let whole = u128::from(size_bytes) * u128::from(self.passes());
        let done = u128::from(size_bytes) * u128::from(self.pass) + u128::from(self.done_bytes);
        let parts = (done << 16).checked_div(whole).unwrap_or(0);
        u16::try_from(parts).unwrap_or(u16::MAX)
    }
}
