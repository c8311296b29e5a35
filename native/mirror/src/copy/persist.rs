//! Metadata on its way to the disk: one persist at a time, what comes up meanwhile goes with the next.

use std::collections::BTreeMap;

use super::{Copy, DiskUse};
use crate::ops::{DiskOp, Persist};

/// Names a persist: durable once [`Persisting::durable`] says so.
pub type Ticket = u64;

/// What is to become durable.
#[derive(Debug, Default)]
pub struct Persisting {
    wanted: bool,
    /// Extents named by the persist under way.
    running: Option<Vec<u64>>,
    started: Ticket,
    done: Ticket,
    facts_ticket: Ticket,
    words: BTreeMap<u64, u64>,
    reset: bool,
    failed: bool,
}

impl Persisting {
    /// Make the present state durable; the ticket tells when.
    pub fn want(&mut self) -> Ticket {
        self.wanted = true;
        self.started + 1
    }

    /// Store a word of the dirty bitmap with the next persist.
    pub fn want_word(&mut self, extent: u64, word: u64) {
        self.words.insert(extent, word);
        self.wanted = true;
    }

    /// Empty the stored bitmap with the next persist, before words wanted from now on.
    pub fn want_bitmap_reset(&mut self) {
        self.words.clear();
        self.reset = true;
        self.wanted = true;
    }

    /// True when what a ticket stands for is durable.
    pub fn durable(&self, ticket: Ticket) -> bool {
        self.done >= ticket
    }

    /// The disk failed: nothing becomes durable any more.
    pub fn fail(&mut self) {
        self.failed = true;
        self.running = None;
    }
}

impl Copy {
    /// The facts have changed: durable before they are told.
    pub(super) fn facts_changed(&mut self) -> Ticket {
        self.facts_seq += 1;
        let ticket = self.persisting.want();
        self.persisting.facts_ticket = ticket;
        ticket
    }

    pub(super) fn facts_durable(&self) -> bool {
        self.persisting.durable(self.persisting.facts_ticket)
    }

    /// Replace the stored bitmap by what is dirty now.
    pub(super) fn store_whole_bitmap(&mut self) {
        self.persisting.want_bitmap_reset();
        for (extent, word) in self.dirty.words() {
            self.persisting.want_word(extent, word);
        }
    }

    /// Start a persist if one is wanted and none is under way.
    pub(super) fn start_persist(&mut self) {
        let persisting = &mut self.persisting;
        if !persisting.wanted || persisting.running.is_some() || persisting.failed {
            return;
        }
        let active = self.active.extents();
        persisting.wanted = false;
        persisting.started += 1;
        persisting.running = Some(active.clone());
        let persist = Persist {
            facts: self.facts.clone(),
            active,
            bitmap_reset: std::mem::take(&mut persisting.reset),
            bitmap: std::mem::take(&mut persisting.words).into_iter().collect(),
            shared: std::mem::take(&mut self.shared.unsaved).then(|| self.shared.record.clone()),
        };
        self.disk_op(DiskUse::Persist, DiskOp::Persist(Box::new(persist)));
    }

    pub(super) fn persist_done(&mut self) {
        if let Some(extents) = self.persisting.running.take() {
            self.persisting.done = self.persisting.started;
            self.active.persisted(&extents);
            self.retry_active();
        }
    }
}
