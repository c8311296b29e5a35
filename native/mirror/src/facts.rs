//! What one copy durably knows about itself and its peer (docs/formats/copy-metadata.md).

/// Who orders the writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Orders all writes of the VDisk.
    Master,
    /// Sends its writes to the Master first.
    Slave,
}

/// The durable facts of a copy. Invariants: `lineage` is empty when `base` is 0; `current` is 0 only for a blank copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Generation of the data; 0: blank, never held anything.
    pub current: u64,
    /// What `current` was when this copy went on without its peer; 0: it did not, as far as it knows.
    pub base: u64,
    /// Generations passed through since `base`, oldest first, `base` and `current` not among them.
    pub lineage: Vec<u64>,
    /// Number of the latest attach or take-over; the higher epoch wins where roles collide.
    pub epoch: u64,
    /// Role as of `epoch`.
    pub role: Role,
    /// A resync onto this copy has begun and not ended: it must not be served without its peer.
    pub inconsistent: bool,
    /// The peer may have become current again (the end of a resync was offered): not to go alone without asking.
    pub ending: bool,
}

/// How many generations a lineage may hold (bounded by the metadata slot).
pub const LINEAGE_MAX: usize = 4;

impl Facts {
    /// Facts of a copy that has just been made: `generation` 0 makes it blank.
    #[must_use]
    pub fn new(generation: u64, role: Role) -> Self {
        Self {
            current: generation,
            base: 0,
            lineage: Vec::new(),
            epoch: 0,
            role,
            inconsistent: false,
            ending: false,
        }
    }

    /// True when the peer is known to be outdated, whatever it may think itself.
    #[must_use]
    pub fn peer_outdated(&self) -> bool {
        self.base != 0 && !self.ending
    }

    /// True when this copy holds nothing.
    #[must_use]
    pub fn blank(&self) -> bool {
        self.current == 0
    }

    /// Mark the peer outdated under a new generation. Keeps the generation if the peer is outdated already.
    pub fn outdate_peer(&mut self, generation: u64) {
        if self.peer_outdated() {
            return;
        }
        if self.base == 0 {
            self.base = self.current;
        } else {
            self.lineage.push(self.current);
            if self.lineage.len() > LINEAGE_MAX {
                self.lineage.remove(0);
            }
        }
        self.current = generation;
        self.ending = false;
    }

    /// Both copies are equal and both know it.
    pub fn settle(&mut self, generation: u64) {
        self.current = generation;
        self.base = 0;
        self.lineage.clear();
        self.inconsistent = false;
        self.ending = false;
    }
}
