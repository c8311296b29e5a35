//! Mode pages (SPC-4 §7.5, SBC-3 §6.5): MODE SENSE and MODE SELECT (SPC-4 §6.9 to §6.12), the same through either node.
//!
//! Rules
//! 1. A page is data: its default bytes, and which of their bits initiators may change. What is kept of a page are those bits.
//! 2. A list is taken in whole or not at all. What it says of bits that cannot be changed has to be what they are.
//! 3. There is one set of values for all initiators, kept in the state that both nodes share: the current ones and the saved
//!    ones. A reset of the logical unit, and the loss of both nodes, makes the saved ones current.

mod list;
mod modes;
mod pages;
mod select;
mod sense;

pub(crate) use modes::Modes;
pub(crate) use select::{mode_select, select};
pub(crate) use sense::{mode_sense_6, mode_sense_10};
