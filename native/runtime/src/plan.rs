//! What a SCSI request asks of the mirror core, and how its result becomes the command's answer.
//!
//! Rules:
//!
//! * A request becomes one or several host operations that run one after the other; it is answered when the last one is done
//!   or one is refused.
//! * What a command compares is compared here, from what the mirror core has read.

use std::collections::VecDeque;

use bytes::Bytes;
use twindisk_mirror::{Change, ChangeKind, HostOp, HostResult, Payload, Update, UpdateKind};
use twindisk_scsi::{Compare, IoRequest, LbaStatus, Response, Sense};

use crate::access::state_of;

/// Longest range that one host operation unmaps; more is done in pieces so that other I/O gets between.
const UNMAP_PIECE_BYTES: u64 = 256 << 20;
/// The same of a range that is filled.
const FILL_PIECE_BYTES: u64 = 1 << 20;
/// What a range is filled with for zeros; every block is as long or several times as long.
const ZEROS_BYTES: usize = 512;

/// What has to be done for one SCSI request.
#[derive(Debug)]
pub struct Plan {
    /// The first operation.
    pub first: HostOp,
    /// What follows it.
    pub todo: VecDeque<HostOp>,
    /// How the command is answered.
    pub answer: Answer,
}

impl Plan {
    /// One operation.
    #[must_use]
    pub fn one(first: HostOp) -> Self {
        Self {
            first,
            todo: VecDeque::new(),
            answer: Answer::default(),
        }
    }
}

/// How a command is answered once its last operation is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the data that were read must be; they are not sent then.
    expected: Option<Expected>,
    /// What GET LBA STATUS asks for.
    lba_status: Option<LbaStatus>,
    /// See [`Response::asked_bytes`].
    asked_bytes: Option<u64>,
    /// It compares: to be repeated only if nothing of it was done.
    once: bool,
    /// An operation of it was done.
    begun: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// Anything.
    Readable,
    /// These bytes.
    Bytes(Payload),
    /// These bytes, again and again.
    Repeated(Bytes),
}

impl Answer {
    fn expecting(expected: Expected) -> Self {
        Self {
            expected: Some(expected),
            ..Self::default()
        }
    }

    fn once(once: bool) -> Self {
        Self {
            once,
            ..Self::default()
        }
    }

    fn asked(mut self, asked_bytes: u32) -> Self {
        self.asked_bytes = Some(asked_bytes.into());
        self
    }

    /// An operation was done, and another one follows.
    pub fn done_so_far(&mut self) {
        self.begun = true;
    }

    /// True when an operation was done, and another one has followed.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// What a command that is to get `response` in place of what is left of it is answered.
    #[must_use]
    pub fn cut_short(&self, response: Response) -> Response {
        if self.once && self.begun {
            Response::check(Sense::OUTCOME_UNKNOWN)
        } else {
            response
        }
    }

    /// The answer to a command whose last operation ended so.
    #[must_use]
    pub fn response(self, result: HostResult) -> Response {
        let response = match result {
            HostResult::Data(data) => match &self.expected {
                None => Response::with_data(data.into_pieces()),
                Some(expected) => match expected.first_difference(&data) {
                    None => Response::good(),
                    Some(offset) => Response::check(Sense::miscompare(offset)),
                },
            },
            HostResult::Allocation(ranges) => match &self.lba_status {
                Some(asked) => asked.response(&ranges),
                None => Response::good(),
            },
            HostResult::Done => Response::good(),
            HostResult::Miscompare { offset } => {
                Response::check(Sense::miscompare(u32::try_from(offset).unwrap_or(u32::MAX)))
            }
            HostResult::Unknown => Response::check(Sense::OUTCOME_UNKNOWN),
            HostResult::NotReady(_) | HostResult::Overtaken if self.once && self.begun => {
                Response::check(Sense::OUTCOME_UNKNOWN)
            }
            // The initiator knows what has become of its rights, and of what it wrote, when it sends it again.
            HostResult::Overtaken => Response::busy(),
            HostResult::NoRoom => Response::check(Sense::NO_RESOURCES),
            HostResult::NoSpace => Response::check(Sense::NO_SPACE),
            HostResult::NotReady(state) => Response::not_serving(state_of(state)),
        };
        match self.asked_bytes {
            Some(asked_bytes) => response.moving(asked_bytes),
            None => response,
        }
    }
}

impl Expected {
    fn first_difference(&self, data: &Payload) -> Option<u32> {
        let data = data.to_contiguous();
        let offset = match self {
            Self::Readable => None,
            Self::Bytes(bytes) => first_difference(&data, &bytes.to_contiguous()),
            Self::Repeated(block) => data
                .chunks(block.len())
                .position(|part| part != block)
                .and_then(|index| {
                    let part = &data[index * block.len()..];
                    // The offset counts in data-out, which is one block.
                    first_difference(&part[..part.len().min(block.len())], block)
                }),
        };
        offset.map(|offset| u32::try_from(offset).unwrap_or(u32::MAX))
    }
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    (one != other).then(|| {
        one.iter()
            .zip(other)
            .position(|(left, right)| left != right)
            .unwrap_or(one.len().min(other.len()))
    })
}

/// What has to be done for a request. `data_out` are the command's bytes.
#[must_use]
pub fn plan(request: IoRequest, data_out: Vec<Bytes>) -> Plan {
    match request {
        IoRequest::Read {
            offset_bytes,
            len_bytes,
            fua,
        } => {
            let flush = fua.then_some(HostOp::Flush);
            let last = read(offset_bytes, len_bytes);
            Plan::of(flush.into_iter().chain([last]), Answer::default())
        }
        IoRequest::Write {
            offset_bytes,
            len_bytes,
            asked_bytes,
            fua,
        } => {
            let data = cut(data_out, len_bytes as usize);
            let answer = Answer::default().asked(asked_bytes);
            Plan::of([write(offset_bytes, data, fua)], answer)
        }
        IoRequest::WriteAndVerify {
            offset_bytes,
            len_bytes,
            asked_bytes,
            compare,
        } => {
            let data = cut(data_out, len_bytes as usize);
            let expected = if compare {
                Expected::Bytes(data.clone())
            } else {
                Expected::Readable
            };
            let ops = [
                write(offset_bytes, data, true),
                read(offset_bytes, len_bytes),
            ];
            Plan::of(ops, Answer::expecting(expected).asked(asked_bytes))
        }
        IoRequest::Verify {
            offset_bytes,
            len_bytes,
            compare,
        } => {
            let expected = match compare {
                None => Expected::Readable,
                Some(Compare::Data) => Expected::Bytes(cut(data_out, len_bytes as usize)),
                Some(Compare::Block { len_bytes }) => {
                    Expected::Repeated(cut(data_out, len_bytes as usize).to_contiguous())
                }
            };
            let answer = Answer::expecting(expected);
            Plan::of([read(offset_bytes, len_bytes)], answer)
        }
        IoRequest::LbaStatus(asked) => {
            let op = HostOp::Allocation {
                offset: asked.offset_bytes,
                len_bytes: asked.len_bytes,
            };
            let answer = Answer {
                lba_status: Some(asked),
                ..Answer::default()
            };
            Plan::of([op], answer)
        }
        request => {
            let once = matches!(request, IoRequest::CompareAndWrite { .. });
            Plan::of(plain_or_update(request, data_out), Answer::once(once))
        }
    }
}

/// The operations of requests that need no answer of their own kind.
fn plain_or_update(request: IoRequest, data_out: Vec<Bytes>) -> Vec<HostOp> {
    match request {
        IoRequest::CompareAndWrite {
            offset_bytes,
            len_bytes,
            fua,
        } => {
            let compare = cut(data_out.clone(), len_bytes as usize);
            let write = cut(after(data_out, len_bytes as usize), len_bytes as usize);
            let kind = UpdateKind::CompareAndWrite { compare, write };
            vec![update(offset_bytes, len_bytes, kind, fua)]
        }
        IoRequest::OrWrite {
            offset_bytes,
            len_bytes,
            fua,
        } => {
            let kind = UpdateKind::Or(cut(data_out, len_bytes as usize));
            vec![update(offset_bytes, len_bytes, kind, fua)]
        }
        IoRequest::WriteSame {
            offset_bytes,
            len_bytes,
            zeros,
        } => {
            let block = if zeros {
                Bytes::from_static(&[0; ZEROS_BYTES]).into()
            } else {
                Payload::from_pieces(data_out)
            };
            fill_pieces((offset_bytes, len_bytes), block).collect()
        }
        IoRequest::Unmap(ranges) => ranges.into_iter().flat_map(unmap_pieces).collect(),
        IoRequest::Flush
        // These have plans of their own.
        | IoRequest::LbaStatus(_)
        | IoRequest::Read { .. }
        | IoRequest::Write { .. }
        | IoRequest::WriteAndVerify { .. }
        | IoRequest::Verify { .. } => vec![HostOp::Flush],
    }
}

fn update(offset: u64, len_bytes: u32, kind: UpdateKind, fua: bool) -> HostOp {
    let update = Update {
        offset,
        len_bytes: len_bytes.into(),
        kind,
    };
    HostOp::Update { update, fua }
}

/// All but the first `skip` bytes.
fn after(mut data: Vec<Bytes>, mut skip: usize) -> Vec<Bytes> {
    data.retain_mut(|piece| {
        let gone = skip.min(piece.len());
        skip -= gone;
        *piece = piece.slice(gone..);
        !piece.is_empty()
    });
    data
}

impl Plan {
    /// Have all that is changed durable before the answer.
    pub fn write_through(&mut self) {
        match &mut self.first {
            HostOp::Change { fua, .. } | HostOp::Update { fua, .. } if self.todo.is_empty() => {
                *fua = true;
            }
            HostOp::Change { fua: false, .. } => self.todo.push_back(HostOp::Flush),
            _ => {}
        }
    }

    /// SCSI asks for at least one operation; none would be nothing to do, which a flush does safely.
    fn of(ops: impl IntoIterator<Item = HostOp>, answer: Answer) -> Self {
        let mut todo: VecDeque<_> = ops.into_iter().collect();
        Self {
            first: todo.pop_front().unwrap_or(HostOp::Flush),
            todo,
            answer,
        }
    }
}

fn read(offset: u64, len_bytes: u32) -> HostOp {
    HostOp::Read { offset, len_bytes }
}

fn write(offset: u64, data: Payload, fua: bool) -> HostOp {
    HostOp::Change {
        change: Change {
            offset,
            len_bytes: data.len_bytes(),
            kind: ChangeKind::Write(data),
        },
        fua,
    }
}

fn unmap_pieces(range: (u64, u64)) -> impl Iterator<Item = HostOp> {
    pieces(range, UNMAP_PIECE_BYTES).map(|(offset, len_bytes)| {
        let change = Change {
            offset,
            len_bytes,
            kind: ChangeKind::Unmap,
        };
        HostOp::Change { change, fua: false }
    })
}

fn fill_pieces(range: (u64, u64), block: Payload) -> impl Iterator<Item = HostOp> {
    pieces(range, FILL_PIECE_BYTES).map(move |(offset, len_bytes)| {
        let change = Change {
            offset,
            len_bytes,
            kind: ChangeKind::Fill(block.clone()),
        };
        HostOp::Change { change, fua: false }
    })
}

/// A range in pieces of at most `piece_bytes`.
fn pieces((offset, len_bytes): (u64, u64), piece_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..len_bytes.div_ceil(piece_bytes)).map(move |piece| {
        let start = piece * piece_bytes;
        (offset + start, piece_bytes.min(len_bytes - start))
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

#[cfg(test)]
mod tests;
