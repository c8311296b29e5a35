//! Commands of initiators that wait for the mirror core, and how SCSI's requests become its host operations.
//!
//! Rules:
//!
//! * A request is one SCSI command; it becomes one or several host operations that run one after the other, and is answered
//!   when the last one is done or one is refused.
//! * A host id is never used for two requests at the same time, nor soon after: it carries a generation.

use std::collections::VecDeque;

use bytes::Bytes;
use slab::Slab;
use twindisk_iscsi::{ScsiResponse, TaskTag};
use twindisk_mirror::{Change, ChangeKind, HostId, HostOp, Payload};
use twindisk_scsi::{IoRequest, NexusId, Response};

/// Longest range that one host operation unmaps; more is done in pieces so that other I/O gets between.
const UNMAP_PIECE_BYTES: u64 = 256 << 20;

/// One SCSI command that waits for the mirror core.
#[derive(Debug)]
pub struct Request {
    /// The session's place among the endpoints.
    pub endpoint: usize,
    /// The session's nexus; tells whether the endpoint still is that session.
    pub nexus: NexusId,
    /// The command.
    pub task: TaskTag,
    /// The VDisk's place.
    pub vdisk: usize,
    /// Bytes that the command holds or will hold, for backpressure.
    pub held_bytes: usize,
    /// What is to be done after the operation under way.
    pub todo: VecDeque<HostOp>,
}

/// All requests of the engine.
#[derive(Debug)]
pub struct Requests<R = Request> {
    slots: Slab<(u32, R)>,
    generation: u32,
}

impl<R> Requests<R> {
    /// Keep a request; the id for its host operations.
    pub fn insert(&mut self, request: R) -> HostId {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slots.insert((self.generation, request));
        HostId(u64::from(self.generation) << 32 | slot as u64)
    }

    /// The request with this id.
    pub fn get_mut(&mut self, id: HostId) -> Option<&mut R> {
        match self.slots.get_mut(slot_of(id)) {
            Some((generation, request)) if *generation == generation_of(id) => Some(request),
            _ => None,
        }
    }

    /// Take the request with this id out.
    pub fn remove(&mut self, id: HostId) -> Option<R> {
        self.get_mut(id)?;
        self.slots
            .try_remove(slot_of(id))
            .map(|(_, request)| request)
    }

    /// The ids of all requests that `wanted` picks.
    pub fn ids(&self, wanted: impl Fn(&R) -> bool) -> Vec<HostId> {
        let id_of =
            |slot: usize, generation: u32| HostId(u64::from(generation) << 32 | slot as u64);
        self.slots
            .iter()
            .filter(|(_, (_, r))| wanted(r))
            .map(|(slot, (generation, _))| id_of(slot, *generation))
            .collect()
    }
}

impl<R> Default for Requests<R> {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
        }
    }
}

fn slot_of(id: HostId) -> usize {
    (id.0 & 0xffff_ffff) as usize
}

fn generation_of(id: HostId) -> u32 {
    (id.0 >> 32) as u32
}

/// The host operations of one SCSI request: the first, and what follows it. `data_out` are the command's bytes.
#[must_use]
pub fn host_ops(request: IoRequest, data_out: Vec<Bytes>) -> (HostOp, VecDeque<HostOp>) {
    let none = VecDeque::new();
    match request {
        IoRequest::Read {
            offset_bytes,
            len_bytes,
            fua,
        } => {
            let read = HostOp::Read {
                offset: offset_bytes,
                len_bytes,
            };
            if fua {
                (HostOp::Flush, VecDeque::from([read]))
            } else {
                (read, none)
            }
        }
        IoRequest::Write {
            offset_bytes,
            len_bytes,
            fua,
        } => {
            let kind = ChangeKind::Write(cut(data_out, len_bytes as usize));
            (
                HostOp::Change {
                    change: Change {
                        offset: offset_bytes,
                        len_bytes: len_bytes.into(),
                        kind,
                    },
                    fua,
                },
                none,
            )
        }
        IoRequest::Unmap(ranges) => {
            let mut pieces: VecDeque<_> = ranges.into_iter().flat_map(unmap_pieces).collect();
            // SCSI hands out at least one range; no range would be nothing to do, which a flush does safely.
            (pieces.pop_front().unwrap_or(HostOp::Flush), pieces)
        }
        IoRequest::Flush => (HostOp::Flush, none),
    }
}

fn unmap_pieces((offset, len_bytes): (u64, u64)) -> impl Iterator<Item = HostOp> {
    (0..len_bytes.div_ceil(UNMAP_PIECE_BYTES)).map(move |piece| {
        let start = piece * UNMAP_PIECE_BYTES;
        let change = Change {
            offset: offset + start,
            len_bytes: UNMAP_PIECE_BYTES.min(len_bytes - start),
            kind: ChangeKind::Unmap,
        };
        HostOp::Change { change, fua: false }
    })
}

fn cut(mut pieces: Vec<Bytes>, len_bytes: usize) -> Payload {
    let mut left = len_bytes;
    pieces.retain_mut(|piece| {
        piece.truncate(left);
        left -= piece.len();
        !piece.is_empty()
    });
    Payload::from_pieces(pieces)
}

/// A SCSI answer in iSCSI's terms.
#[must_use]
pub fn scsi_response(response: Response) -> ScsiResponse {
    ScsiResponse {
        status: response.status as u8,
        sense: response
            .sense
            .map(|sense| Bytes::copy_from_slice(&sense.to_fixed()))
            .unwrap_or_default(),
        data_in: response.data,
        transfer_len: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_cut_to_what_its_cdb_asks_for() {
        let data = vec![
            Bytes::from_static(b"abc"),
            Bytes::from_static(b"defg"),
            Bytes::from_static(b"h"),
        ];
        let (op, rest) = host_ops(
            IoRequest::Write {
                offset_bytes: 512,
                len_bytes: 5,
                fua: true,
            },
            data,
        );
        assert!(rest.is_empty());
        let HostOp::Change { change, fua: true } = op else {
            panic!("{op:?}")
        };
        assert_eq!((change.offset, change.len_bytes), (512, 5));
        let ChangeKind::Write(payload) = change.kind else {
            panic!("{:?}", change.kind)
        };
        assert_eq!(&payload.to_contiguous()[..], b"abcde");
    }

    #[test]
    fn a_read_that_forces_unit_access_flushes_first() {
        let (op, rest) = host_ops(
            IoRequest::Read {
                offset_bytes: 0,
                len_bytes: 512,
                fua: true,
            },
            Vec::new(),
        );
        assert_eq!(op, HostOp::Flush);
        assert_eq!(
            rest,
            [HostOp::Read {
                offset: 0,
                len_bytes: 512
            }]
        );
    }

    #[test]
    fn a_long_unmap_is_done_in_pieces_that_cover_it() {
        let (first, rest) = host_ops(
            IoRequest::Unmap(vec![(4096, UNMAP_PIECE_BYTES + 512), (1 << 40, 512)]),
            Vec::new(),
        );
        let ranges: Vec<_> = std::iter::once(first)
            .chain(rest)
            .map(|op| match op {
                HostOp::Change { change, fua: false } => (change.offset, change.len_bytes),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            ranges,
            [
                (4096, UNMAP_PIECE_BYTES),
                (4096 + UNMAP_PIECE_BYTES, 512),
                (1 << 40, 512)
            ]
        );
    }

    #[test]
    fn an_id_whose_slot_was_reused_finds_nothing() {
        let mut requests = Requests::<&str>::default();
        let old = requests.insert("x");
        assert!(requests.remove(old).is_some());
        let new = requests.insert("x");
        assert_eq!(slot_of(old), slot_of(new));
        assert!(requests.remove(old).is_none());
        assert_eq!(requests.ids(|_| true), [new]);
    }
}
