//! The window of command numbers (RFC 7143 §4.2.2.1).
//!
//! Rules:
//! 1. A command that is not immediate is acted on when its number is ExpCmdSN; one that comes early is parked, one
//!    outside ExpCmdSN..=MaxCmdSN and one that was parked before are ignored.
//! 2. `MaxCmdSN = ExpCmdSN + size - open - 1`, where `open` counts the commands acted on and not yet answered:
//!    never more than `size` commands are open or parked, and MaxCmdSN never goes back.

use std::collections::BTreeMap;

/// The window; `T` is what is kept of an early command.
#[derive(Debug)]
pub(crate) struct CommandWindow<T> {
    exp_cmd_sn: u32,
    size: u32,
    open: u32,
    parked: BTreeMap<u32, T>,
}

/// When a command is to be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    Later,
    Never,
}

impl<T> CommandWindow<T> {
    /// A window of `size` commands, the first of which will have the number `exp_cmd_sn`.
    pub(crate) fn new(exp_cmd_sn: u32, size: u32) -> Self {
        Self {
            exp_cmd_sn,
            size: size.max(1),
            open: 0,
            parked: BTreeMap::new(),
        }
    }

    /// The number of the next command in order.
    pub(crate) fn exp_cmd_sn(&self) -> u32 {
        self.exp_cmd_sn
    }

    /// The highest number that is taken; one less than ExpCmdSN when the window is closed.
    pub(crate) fn max_cmd_sn(&self) -> u32 {
        self.exp_cmd_sn
            .wrapping_add(self.size - self.open)
            .wrapping_sub(1)
    }

    /// When the command with this number is to be acted on.
    pub(crate) fn turn(&self, cmd_sn: u32) -> Turn {
        let distance = cmd_sn.wrapping_sub(self.exp_cmd_sn);
        if distance >= self.size - self.open || self.parked.contains_key(&cmd_sn) {
            Turn::Never
        } else if distance == 0 {
            Turn::Now
        } else {
            Turn::Later
        }
    }

    /// The command with the number ExpCmdSN is acted on; `open`: it stays open until [`Self::close`].
    pub(crate) fn advance(&mut self, open: bool) {
        self.exp_cmd_sn = self.exp_cmd_sn.wrapping_add(1);
        if open {
            self.open += 1;
            debug_assert!(
                self.open <= self.size,
                "a number inside the window leaves room"
            );
        }
    }

    /// Keep a command whose turn is [`Turn::Later`].
    pub(crate) fn park(&mut self, cmd_sn: u32, item: T) {
        debug_assert_eq!(
            self.turn(cmd_sn),
            Turn::Later,
            "only early commands are parked"
        );
        self.parked.insert(cmd_sn, item);
    }

    /// Whether a command waits for one before it.
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Take the parked command whose turn it is now; the caller advances the window.
    pub(crate) fn take_next(&mut self) -> Option<T> {
        if self.parked.is_empty() {
            None
        } else {
            self.parked.remove(&self.exp_cmd_sn)
        }
    }

    /// An open command was answered or dropped.
    pub(crate) fn close(&mut self) {
        debug_assert!(self.open > 0, "only open commands are closed");
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_in_order_and_the_window_closes() {
        let mut window: CommandWindow<()> = CommandWindow::new(5, 2);
        assert_eq!((window.exp_cmd_sn(), window.max_cmd_sn()), (5, 6));
        assert_eq!(window.turn(5), Turn::Now);
        assert_eq!(window.turn(6), Turn::Later);
        assert_eq!(window.turn(7), Turn::Never);
        assert_eq!(window.turn(4), Turn::Never);
        window.advance(true);
        window.advance(true);
        assert_eq!((window.exp_cmd_sn(), window.max_cmd_sn()), (7, 6));
        assert_eq!(window.turn(7), Turn::Never);
        window.close();
        assert_eq!(window.turn(7), Turn::Now);
    }

    #[test]
    fn early_commands_wait_for_the_gap_to_fill_across_the_wrap() {
        let mut window = CommandWindow::new(u32::MAX, 8);
        window.park(1, "one");
        window.park(0, "zero");
        assert_eq!(window.turn(1), Turn::Never);
        assert_eq!(window.take_next(), None);
        window.advance(false);
        assert_eq!(window.take_next(), Some("zero"));
        window.advance(true);
        assert_eq!(window.take_next(), Some("one"));
        window.advance(true);
        assert_eq!((window.exp_cmd_sn(), window.max_cmd_sn()), (2, 7));
    }
}
