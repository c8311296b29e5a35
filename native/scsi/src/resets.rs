//! What task management has done to the logical unit (SAM-5 §7), the same on both nodes: a section of the
//! [state](crate::unit_state).
//!
//! Rules
//! 1. Each function is counted; a node that puts a state with other counts in force ends its initiators' commands and tells them.
//! 2. The counts say what has to be done, not who asked: every I_T nexus hears of a reset, the one that asked for it too
//!    (SAM-5 §6.3.3). Commands that end so end with TASK ABORTED (the control mode page says TAS), so that nobody has to be told by
//!    COMMANDS CLEARED BY ANOTHER INITIATOR (SAM-5 §5.6).

use crate::unit_state::Section;

/// A task management function that concerns all I_T nexuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFunction {
    /// CLEAR TASK SET: all commands end.
    ClearTaskSet,
    /// LOGICAL UNIT RESET, and TARGET WARM RESET of a target with one logical unit: the same, and everybody is told.
    Reset,
    /// TARGET COLD RESET: the same, and all sessions end.
    ColdReset,
}

/// How often each was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resets {
    /// All commands were to end.
    pub(crate) clears: u32,
    /// The logical unit was reset.
    pub(crate) resets: u32,
    /// All sessions were to end.
    pub(crate) drops: u32,
}

impl Resets {
    /// The counts after one more.
    pub(crate) fn after(self, function: UnitFunction) -> Self {
        let is_reset = u32::from(function != UnitFunction::ClearTaskSet);
        let is_cold = u32::from(function == UnitFunction::ColdReset);
        Self {
            clears: self.clears.wrapping_add(1),
            resets: self.resets.wrapping_add(is_reset),
            drops: self.drops.wrapping_add(is_cold),
        }
    }
}

impl Section for Resets {
    const TAG: [u8; 4] = *b"RSET";
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        [self.clears, self.resets, self.drops]
            .map(u32::to_le_bytes)
            .concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h, i, j, k, l] = bytes else {
            return None;
        };
        let [clears, resets, drops] =
            [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes);
        Some(Self {
            clears,
            resets,
            drops,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_counts_as_what_it_does_and_reads_back() {
        let mut resets = Resets::default();
        for (function, counts) in [
            (UnitFunction::ClearTaskSet, [1, 0, 0]),
            (UnitFunction::Reset, [2, 1, 0]),
            (UnitFunction::ColdReset, [3, 2, 1]),
        ] {
            resets = resets.after(function);
            assert_eq!([resets.clears, resets.resets, resets.drops], counts);
            assert_eq!(Resets::decode(&resets.encode()), Some(resets));
        }
        assert_eq!(Resets::decode(&[0; 11]), None);
    }
}
