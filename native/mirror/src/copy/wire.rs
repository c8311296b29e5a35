//! The peer's messages, sorted to where they belong. A message that does not fit the mode or the epoch is dropped: its
//! sender has lost the attach too and starts afresh, or will hear of it by a message on its way.

use super::no_space::ENOSPC;
use super::task::TaskKind;
use super::verify::STRETCH_EXTENTS;
use super::{Copy, Mode};
use crate::EXTENT_BYTES;
use crate::message::{Body, Message};
use crate::ops::HostResult;

/// Longest read or write that a peer may ask for.
const RANGE_MAX_BYTES: u64 = 1 << 30;

impl Copy {
    pub(super) fn dispatch(&mut self, message: Message) {
        let Message {
            epoch, id, body, ..
        } = message;
        if self.outside(&body) {
            self.peer_faulty = true;
            return;
        }
        match body {
            Body::Facts(told) => self.facts_told(*told),
            Body::DirtyWords(words) => self.words_told(words),
            Body::AttachReady(terms) | Body::AttachGo(terms) => {
                self.early.terms = Some((epoch, terms))
            }
            Body::RecordIs {
                record,
                power_on_done,
            } => self.early.record = Some((record, power_on_done)),
            Body::AttachRefused => self.attach_refused(),
            Body::Leave => self.left_by_peer(),
            Body::LeaveSeen => self.leave_seen(),
            body if matches!(self.mode, Mode::Mirroring(_)) && epoch == self.facts.epoch => {
                if self.is_master() {
                    self.slave_says(id, body);
                } else {
                    self.master_says(id, body);
                }
            }
            _ => {}
        }
    }

    fn slave_says(&mut self, id: u64, body: Body) {
        match body {
            Body::Applied => self.applied_by_peer(id),
            Body::NoSpace => self.peer_found_no_space(id),
            Body::Short => self.peer_is_short(id),
            // While draining nothing new is begun: the Slave asks again of whoever is Master then.
            // A change of the record may wait for the Slave's commands, so while there is one they go on.
            Body::Request(change) if self.draining.is_none() || self.record_busy() => {
                let (offset, len_bytes) = (change.offset, change.len_bytes);
                self.last_change_ns = self.around.now_ns;
                let kind = TaskKind::PeerRequest {
                    peer_id: id,
                    change,
                    granted: false,
                };
                let task = self.add_task(offset, len_bytes, kind);
                self.peer_tasks.insert(id, task);
                self.lock(task, true);
            }
            Body::Ask(update) if self.draining.is_none() || self.record_busy() => {
                self.asked_by_peer(id, update);
            }
            Body::Unlock => self.unlocked_by_peer(id),
            Body::Resumed => self.resumed_by_peer(),
            Body::Read { offset, len_bytes } if self.draining.is_none() || self.record_busy() => {
                let task =
                    self.add_task(offset, len_bytes.into(), TaskKind::PeerRead { peer_id: id });
                self.lock(task, false);
            }
            Body::ChunkSame | Body::ChunkTaken => self.chunk_settled(id),
            Body::ChunkDiffers => self.chunk_differs(id),
            Body::ResyncEnded => self.resync_ended(id),
            Body::Listed(words) => self.peer_list(id, words),
            Body::Same => self.compared_same(id),
            Body::Differs(data) => self.compared_differs(id, &data),
            Body::RecordAsk
            | Body::RecordUpdate { .. }
            | Body::RecordPass
            | Body::RecordApplied => self.slave_says_of_record(id, body),
            other => self.either_says(id, other),
        }
    }

    fn master_says(&mut self, id: u64, body: Body) {
        match body {
            Body::Apply(change) => {
                if let Some(task) = self.replaced(id, &change) {
                    return self.apply(task);
                }
                let (offset, len_bytes) = (change.offset, change.len_bytes);
                let kind = TaskKind::PeerApply {
                    peer_id: id,
                    change,
                };
                let task = self.add_task(offset, len_bytes, kind);
                self.lock(task, true);
            }
            Body::Resolved(change) => self.resolved_by_peer(id, change),
            Body::Refused { offset } => self.refused_by_peer(id, offset),
            Body::NoSpace => self.refused_for_space(id),
            Body::GiveUp => self.give_up("mirror write", ENOSPC),
            Body::Granted => self.request_granted(id),
            Body::ReadData(data) => self.read_afar(id, data),
            Body::ActiveAdd(extents) => {
                let total = self.size_bytes.div_ceil(EXTENT_BYTES);
                if self
                    .active
                    .add(extents.into_iter().filter(|extent| *extent < total))
                {
                    self.persisting.want();
                }
            }
            Body::ActiveRemove(extents) => {
                for extent in extents {
                    self.active.remove(extent);
                }
                if self.active.is_empty() {
                    self.persisting.want();
                }
                self.retry_room();
            }
            Body::ChunkHash {
                offset,
                len_bytes,
                hash,
            } => {
                self.start_compare(id, offset, len_bytes, hash);
            }
            Body::ChunkData { offset, data } => {
                self.start_chunk_data(id, offset, data);
            }
            Body::ResyncEnd { generation } => self.resync_offered_end(id, generation),
            Body::List { offset, extents } => self.start_peer_list(id, offset, extents),
            Body::Compare {
                offset,
                len_bytes,
                hash,
            } => self.start_peer_compare(id, offset, len_bytes, hash),
            Body::Switch { epoch } => self.switched_by_peer(epoch),
            Body::RecordTurn | Body::RecordApply { .. } | Body::RecordDone => {
                self.master_says_of_record(id, body);
            }
            other => self.either_says(id, other),
        }
    }

    fn either_says(&mut self, id: u64, body: Body) {
        match body {
            Body::Flush => self.start_peer_flush(id),
            Body::Flushed => self.flushed_by_peer(id),
            Body::Watch(watch) => self.watch_for_peer(id, watch),
            Body::Watched => self.watched_by_peer(id),
            Body::Unwatch { id } => self.watches.drop(id),
            _ => {}
        }
    }

    fn read_afar(&mut self, id: u64, data: crate::payload::Payload) {
        let asked = match self.tasks.get(&id) {
            Some(task) => match task.kind {
                TaskKind::HostReadAfar { host } if task.len_bytes == data.len_bytes() => host,
                _ => return,
            },
            None => return,
        };
        self.finish(id);
        self.complete(asked, HostResult::Data(data));
    }

    /// True for a range that no sound peer names.
    fn outside(&self, body: &Body) -> bool {
        if let Body::Ask(update) = body
            && let Some(source) = update.source()
            && self.is_outside(source, update.len_bytes)
        {
            return true;
        }
        if let Body::List { offset, extents } = body {
            let aligned = offset % EXTENT_BYTES == 0;
            return !aligned || u64::from(*extents) > STRETCH_EXTENTS || *offset >= self.size_bytes;
        }
        if let Body::Watch(watch) = body {
            let outside = |&(offset, len_bytes): &(u64, u64)| self.is_outside(offset, len_bytes);
            return watch.ranges.iter().any(outside);
        }
        let (offset, len_bytes) = match body {
            Body::Apply(change) | Body::Request(change) | Body::Resolved(change) => {
                (change.offset, change.len_bytes)
            }
            Body::Ask(update) => (update.offset, update.len_bytes),
            Body::Read { offset, len_bytes }
            | Body::ChunkHash {
                offset, len_bytes, ..
            }
            | Body::Compare {
                offset, len_bytes, ..
            } => (*offset, u64::from(*len_bytes)),
            Body::ChunkData { offset, data } => (*offset, data.len_bytes()),
            _ => return false,
        };
        self.is_outside(offset, len_bytes)
    }

    fn is_outside(&self, offset: u64, len_bytes: u64) -> bool {
        let end = offset.checked_add(len_bytes);
        len_bytes == 0 || len_bytes > RANGE_MAX_BYTES || end.is_none_or(|end| end > self.size_bytes)
    }
}
