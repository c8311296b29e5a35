//! Offloaded data transfer: tokens that stand for what ranges of a VDisk held at one moment, good at both nodes and for every VDisk
//! that a node serves.
//!
//! Rules:
//!
//! * A token is a watch of the mirror core, which both nodes keep, with a key that nobody can guess. It is told once both have it.
//! * Who has a token may read what it stands for, whatever its VDisk's access list or reservations say by then; the VDisk has to be
//!   served here, and not to be sanitized.
//! * A token whose data have changed, through either node, is worth nothing any more. Its user copies in another way.
//! * A command that asks to be answered at once is, when nothing is wrong with its parameters; what it began goes on as a copy does.

use bytes::Bytes;
use twindisk_mirror::watches;
use twindisk_mirror::{HostId, HostOp, Serial, Watch, WatchState};
use twindisk_scsi::{
    CopyName, LIFETIME_S, NexusId, Populate, RANGES_MAX, Response, Sense, Status, TOKEN_KEY_BYTES,
    TokenRange, TokenSource, TokenWrite,
};

use crate::core::Core;
use crate::engine::Engine;
use crate::request::{Request, Work};
use crate::session::Login;
use crate::transfer::{Copier, Move, Place, Source, Token, Transfer};
use crate::transfers::Begun;

const _: () = assert!(RANGES_MAX == watches::RANGES_MAX);
const _: () = assert!(TOKEN_KEY_BYTES <= watches::LABEL_MAX_BYTES);
const _: () = assert!(LIFETIME_S as u64 * 1_000_000_000 == watches::LIFETIME_NS);

/// A token that is being made.
#[derive(Debug, PartialEq, Eq)]
pub struct Populating {
    /// The list identifier by which it is asked for.
    identifier: u32,
    /// Names the token and its watch.
    id: u64,
    key: Bytes,
    /// Bytes that it stands for.
    bytes: u64,
}

impl Populating {
    /// The list identifier.
    #[must_use]
    pub fn name(&self) -> CopyName {
        CopyName::Long(self.identifier)
    }
}

impl Core {
    /// Begin to make a token.
    ///
    /// # Errors
    /// The answer to the command.
    pub(crate) fn begin_populate(
        &mut self,
        place: usize,
        nexus: NexusId,
        populate: Populate,
    ) -> Result<Begun, Response> {
        let mut key = vec![0; TOKEN_KEY_BYTES];
        if getrandom::fill(&mut key).is_err() {
            return Err(Response::check(Sense::NO_ROOM_FOR_TOKEN));
        }
        let (id, key) = (self.tags.fresh(), Bytes::from(key));
        self.vdisks[place].unit.populate_began(nexus, &populate);
        let populating = Populating {
            identifier: populate.identifier,
            id,
            key: key.clone(),
            bytes: total(&populate.ranges),
        };
        let watch = Watch {
            id,
            owner: nexus.0,
            timeout_ms: populate.timeout_ms,
            label: key,
            ranges: populate.ranges,
        };
        Ok(Begun {
            first: HostOp::Watch(Box::new(watch)),
            work: Work::Populate(Box::new(populating)),
            background: populate.immediate,
        })
    }

    /// Begin to write what a token stands for.
    ///
    /// # Errors
    /// The answer to the command.
    pub(crate) fn begin_token_write(
        &mut self,
        place: usize,
        nexus: NexusId,
        login: &Login,
        write: &TokenWrite,
    ) -> Result<Transfer, Response> {
        let own = self.vdisks[place].serial;
        let copier = Copier::of(login).ok_or(Response::check(Sense::NOT_REACHABLE))?;
        let found = self.token_data(write);
        let moved = |ranges: &[TokenRange]| ranges.iter().map(|range| range.len_bytes).sum::<u64>();
        let partial = (found.as_ref()).is_ok_and(|(_, ranges)| moved(ranges) < write.asked_bytes());
        let name = CopyName::Long(write.identifier);
        let unit = &mut self.vdisks[place].unit;
        unit.token_write_began(nexus, write, partial);
        let (token, ranges) = found.map_err(|sense| {
            let refused = Response::check(sense);
            unit.copy_ended(nexus, name, &refused);
            refused
        })?;
        let block_bytes = unit.block().bytes();
        let moves = ranges.iter().map(|range| Move {
            source: match (range.source, token) {
                (Some(offset), Some(Token { serial, .. })) => Source::At(Place { serial, offset }),
                _ => Source::Zeros,
            },
            target: Place {
                serial: own,
                offset: range.target,
            },
            len_bytes: range.len_bytes,
            block_bytes,
            segments: 0,
        });
        let transfer = Transfer::new(copier, own, Some(name), moves.collect());
        Ok(transfer.using(token))
    }

    /// The token, unless it is the one of zeros, and what is to be written where.
    fn token_data(&self, write: &TokenWrite) -> Result<(Option<Token>, Vec<TokenRange>), Sense> {
        let (serial, id) = match write.source() {
            TokenSource::Zeros => return Ok((None, write.zeros())),
            TokenSource::Unit { serial, id } => (Serial(serial), id),
        };
        let vdisk = self.vdisk(serial).ok_or(Sense::TOKEN_UNKNOWN)?;
        let copy = self.node.copy(serial).ok_or(Sense::TOKEN_UNKNOWN)?;
        let state = copy.watch(id, self.now_ns);
        let (watch, over) = match state {
            WatchState::Unknown => return Err(Sense::TOKEN_UNKNOWN),
            WatchState::Broken(watch) => (watch, Some(Sense::TOKEN_REVOKED)),
            WatchState::Expired(watch) => (watch, Some(Sense::TOKEN_EXPIRED)),
            WatchState::Intact(watch) => (watch, None),
        };
        let made = vdisk.unit.token(id, &watch.label, total(&watch.ranges));
        if !write.holds(&made) {
            return Err(Sense::TOKEN_UNKNOWN);
        }
        if let Some(sense) = over {
            return Err(sense);
        }
        let token = Token {
            serial,
            watch: id,
            delete: write.delete,
        };
        Ok((Some(token), write.moves(&watch.ranges)?))
    }

    /// Whether what was read of a VDisk up to now is what a token stands for.
    ///
    /// # Errors
    /// Why it may not be.
    pub(crate) fn watched(&self, serial: Serial, watch: u64) -> Result<(), Sense> {
        let copy = self.node.copy(serial).ok_or(Sense::TOKEN_UNKNOWN)?;
        match copy.watch(watch, self.now_ns) {
            WatchState::Intact(_) => Ok(()),
            WatchState::Expired(_) => Err(Sense::TOKEN_EXPIRED),
            WatchState::Broken(_) | WatchState::Unknown => Err(Sense::TOKEN_REVOKED),
        }
    }
}

impl Engine {
    /// Both nodes have a token that a command asked for.
    pub(crate) fn token_made(&mut self, host: HostId) {
        if let Some(Request {
            work: Work::Populate(made),
            nexus,
            vdisk,
            ..
        }) = self.core.requests.get(host)
        {
            let unit = &mut self.core.vdisks[*vdisk].unit;
            let token = unit.token(made.id, &made.key, made.bytes);
            unit.token_made(*nexus, made.identifier, token, made.bytes);
        }
    }

    /// A copy, or a command that makes a token, has ended with this answer.
    pub(crate) fn copy_is_over(&mut self, request: &Request, response: &Response) {
        let name = match &request.work {
            Work::Copy(transfer) => {
                let done = response.status == Status::Good;
                if let Some(token) = transfer.token.filter(|token| token.delete && done) {
                    let now_ns = self.core.now_ns;
                    self.core.node.unwatch(token.serial, token.watch, now_ns);
                }
                transfer.name
            }
            Work::Populate(made) => Some(made.name()),
            _ => None,
        };
        if let Some(name) = name
            && let Some(vdisk) = self.core.vdisks.get_mut(request.vdisk)
        {
            vdisk.unit.copy_ended(request.nexus, name, response);
        }
    }
}

fn total(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(_, len_bytes)| len_bytes).sum()
}
