//! What became of the copies that I_T nexuses asked for, for RECEIVE COPY STATUS, FAILURE DETAILS and ROD TOKEN INFORMATION.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::logical_unit::NexusId;
use crate::sense::Sense;

/// Copies with long names of one nexus whose end is remembered.
const ENDED_MAX: usize = 64;

/// How a copy is called by the nexus that asked for it: its list identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyName {
    /// EXTENDED COPY (LID1).
    Short(u8),
    /// POPULATE TOKEN and WRITE USING TOKEN.
    Long(u32),
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Segment descriptors that are done.
    pub segments: u16,
    /// Bytes written, or that a token stands for.
    pub bytes: u64,
}

/// How a copy ended, or that it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Done,
    /// With these sense data; none for another status than CHECK CONDITION.
    Failed(Option<Sense>),
}

/// What a copy began with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// The service action that asked for it.
    pub(crate) action: u8,
    /// Its command was answered when it began.
    pub(crate) background: bool,
    /// It is shorter than what was asked for.
    pub(crate) partial: bool,
    /// What became of it is of interest after it has ended.
    pub(crate) keep: bool,
}

/// One copy.
#[derive(Debug, Clone)]
pub(crate) struct CopyState {
    pub(crate) start: Start,
    pub(crate) progress: CopyProgress,
    pub(crate) outcome: Outcome,
    /// The token that it made.
    pub(crate) token: Option<Bytes>,
    /// Counts the copies.
    order: u64,
}

/// By nexus and list identifier; bounded by the 256 short names and [`ENDED_MAX`] of each nexus, and by the copies under way.
#[derive(Debug, Default)]
pub(crate) struct CopyStates {
    states: BTreeMap<(NexusId, CopyName), CopyState>,
    begun: u64,
}

impl CopyStates {
    pub(crate) fn is_running(&self, nexus: NexusId, name: CopyName) -> bool {
        let state = self.get(nexus, name);
        state.is_some_and(|state| state.outcome == Outcome::Running)
    }

    pub(crate) fn get(&self, nexus: NexusId, name: CopyName) -> Option<&CopyState> {
        self.states.get(&(nexus, name))
    }

    pub(crate) fn get_mut(&mut self, nexus: NexusId, name: CopyName) -> Option<&mut CopyState> {
        self.states.get_mut(&(nexus, name))
    }

    pub(crate) fn begin(&mut self, nexus: NexusId, name: CopyName, start: Start) {
        self.begun += 1;
        let state = CopyState {
            start,
            progress: CopyProgress::default(),
            outcome: Outcome::Running,
            token: None,
            order: self.begun,
        };
        self.states.insert((nexus, name), state);
        let long = (nexus, CopyName::Long(0))..=(nexus, CopyName::Long(u32::MAX));
        let ended = self.states.range(long);
        let ended = ended.filter(|(_, state)| state.outcome != Outcome::Running);
        if ended.clone().count() >= ENDED_MAX
            && let Some((&oldest, _)) = ended.min_by_key(|(_, state)| state.order)
        {
            self.states.remove(&oldest);
        }
    }

    pub(crate) fn advance(&mut self, nexus: NexusId, name: CopyName, progress: CopyProgress) {
        if let Some(state) = self.get_mut(nexus, name) {
            state.progress = progress;
        }
    }

    pub(crate) fn end(&mut self, nexus: NexusId, name: CopyName, outcome: Outcome) {
        if let Some(state) = self.get_mut(nexus, name) {
            state.outcome = outcome;
            if !state.start.keep {
                self.states.remove(&(nexus, name));
            }
        }
    }

    pub(crate) fn close(&mut self, nexus: NexusId) {
        self.states.retain(|(known, _), _| *known != nexus);
    }

    /// The logical unit was reset: what became of copies that have ended is not told any more.
    pub(crate) fn reset(&mut self) {
        self.states
            .retain(|_, state| state.outcome == Outcome::Running);
    }
}
