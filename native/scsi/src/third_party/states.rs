//! What became of the copies that I_T nexuses asked for, for RECEIVE COPY STATUS and FAILURE DETAILS.

use std::collections::BTreeMap;

use crate::logical_unit::NexusId;
use crate::sense::Sense;

/// How far a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Segment descriptors that are done.
    pub segments: u16,
    /// Bytes written.
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

/// One copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopyState {
    keep: bool,
    pub(crate) progress: CopyProgress,
    pub(crate) outcome: Outcome,
}

/// By nexus and list identifier; bounded by the 256 identifiers of each nexus.
#[derive(Debug, Default)]
pub(crate) struct CopyStates(BTreeMap<(NexusId, u8), CopyState>);

impl CopyStates {
    pub(crate) fn is_running(&self, nexus: NexusId, identifier: u8) -> bool {
        let state = self.get(nexus, identifier);
        state.is_some_and(|state| state.outcome == Outcome::Running)
    }

    pub(crate) fn get(&self, nexus: NexusId, identifier: u8) -> Option<&CopyState> {
        self.0.get(&(nexus, identifier))
    }

    pub(crate) fn begin(&mut self, nexus: NexusId, identifier: u8, keep: bool) {
        let state = CopyState {
            keep,
            progress: CopyProgress::default(),
            outcome: Outcome::Running,
        };
        self.0.insert((nexus, identifier), state);
    }

    pub(crate) fn advance(&mut self, nexus: NexusId, identifier: u8, progress: CopyProgress) {
        if let Some(state) = self.0.get_mut(&(nexus, identifier)) {
            state.progress = progress;
        }
    }

    pub(crate) fn end(&mut self, nexus: NexusId, identifier: u8, outcome: Outcome) {
        if let Some(state) = self.0.get_mut(&(nexus, identifier)) {
            state.outcome = outcome;
            if !state.keep {
                self.0.remove(&(nexus, identifier));
            }
        }
    }

    pub(crate) fn close(&mut self, nexus: NexusId) {
        self.0.retain(|(known, _), _| *known != nexus);
    }
}
