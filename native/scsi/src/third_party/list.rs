//! EXTENDED COPY (LID1) (SPC-4 §6.4): the parameter list, and the ranges that it comes to.

use super::states::CopyName;
use super::{
    BLOCKS, BLOCKS_BYTES, DESCRIPTORS_MAX_BYTES, HEADER_BYTES, IDENTIFICATION, SEGMENT_MAX_BYTES,
    SEGMENTS_MAX, STEPS_MAX, TARGET_BYTES, TARGETS_MAX, WITH_OFFSETS, WITH_OFFSETS_BYTES,
};
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::{FieldPointer, Sense, SenseKey};

/// LIST ID USAGE: status is kept; it is not kept once the command has ended; there is no list identifier.
const KEEP: u8 = 0b00;
const DISCARD: u8 = 0b10;
const NO_IDENTIFIER: u8 = 0b11;
const DC: u8 = 0x02;

/// What an EXTENDED COPY asks for, not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyList {
    /// The list identifier by which the initiator asks for the status; None: it does not.
    pub identifier: Option<u8>,
    /// The status is of interest after the command has ended.
    pub keep: bool,
    targets: Vec<Target>,
    segments: Vec<Segment>,
}

/// A designator of a logical unit (SPC-4 §7.8.6), as it stands in a CSCD descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Designator {
    /// CODE SET.
    pub(crate) code_set: u8,
    /// ASSOCIATION and DESIGNATOR TYPE.
    pub(crate) kind: u8,
    /// DESIGNATOR.
    pub(crate) bytes: Vec<u8>,
}

/// A logical unit that takes part in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyTarget {
    /// Its serial, by which two descriptors of the same unit are told from those of two.
    pub serial: [u8; 16],
    /// Logical blocks.
    pub blocks: u64,
    /// Bytes of one.
    pub block_bytes: u64,
}

/// A range that is to be copied, inside both logical units, in bytes; never empty. One that is copied over a part of itself is
/// copied there from at least a block of the target away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRange {
    /// The source's place among [`CopyList::designators`].
    pub source: usize,
    /// The destination's.
    pub target: usize,
    /// First byte of the source.
    pub source_offset: u64,
    /// First byte of the destination.
    pub target_offset: u64,
    /// Length.
    pub len_bytes: u64,
    /// Segment descriptors up to and with the one that it comes from.
    pub segments: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    designator: Designator,
    /// PERIPHERAL DEVICE TYPE.
    device: u8,
    /// DISK BLOCK LENGTH.
    block_bytes: u64,
    /// Byte of the parameter list at which its descriptor begins.
    at: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    source: usize,
    target: usize,
    source_lba: u64,
    target_lba: u64,
    source_byte: u64,
    target_byte: u64,
    length: Length,
    /// As above.
    at: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    SourceBlocks(u64),
    TargetBlocks(u64),
    Bytes(u64),
}

/// EXTENDED COPY (LID1).
pub(crate) fn extended_copy(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let length = request.number(10, 4) as usize;
    if length == 0 {
        return Ok(Step::Done(Response::good()));
    }
    if length < HEADER_BYTES {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    let header = request.parameters(HEADER_BYTES)?;
    let lengths = Lengths::of(&header);
    if lengths.total() > length as u64 || lengths.descriptors() > DESCRIPTORS_MAX_BYTES as u64 {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    if lengths.inline > 0 {
        return Err(Sense::INLINE_DATA_TOO_LONG);
    }
    let list = CopyList::parse(&request.parameters(lengths.total() as usize)?, &lengths)?;
    if let Some(identifier) = list.identifier
        && unit
            .copies
            .is_running(request.nexus, CopyName::Short(identifier))
    {
        return Err(Sense::OPERATION_IN_PROGRESS);
    }
    Ok(if list.segments.is_empty() {
        Step::Done(Response::good())
    } else {
        Step::Copy(list)
    })
}

/// What the header says of the lengths of the parts that follow it.
struct Lengths {
    targets: u64,
    segments: u64,
    inline: u64,
}

impl Lengths {
    fn of(header: &[u8]) -> Self {
        Self {
            targets: number(header, 2, 2),
            segments: number(header, 8, 4),
            inline: number(header, 12, 4),
        }
    }

    fn descriptors(&self) -> u64 {
        self.targets + self.segments
    }

    fn total(&self) -> u64 {
        HEADER_BYTES as u64 + self.descriptors() + self.inline
    }
}

impl CopyList {
    fn parse(parameters: &[u8], lengths: &Lengths) -> Result<Self, Sense> {
        let usage = parameters[1] >> 3 & 0b11;
        let identifier = match usage {
            KEEP | DISCARD => Some(parameters[0]),
            NO_IDENTIFIER if parameters[0] == 0 => None,
            NO_IDENTIFIER => return Err(Sense::invalid_parameter(0)),
            _ => return Err(Sense::invalid_parameter(1)),
        };
        let begin = HEADER_BYTES + lengths.targets as usize;
        Ok(Self {
            identifier,
            keep: usage == KEEP,
            targets: targets(&parameters[..begin])?,
            segments: segments(parameters, begin)?,
        })
    }

    /// The designators of the logical units that the list names, in its order.
    pub fn designators(&self) -> impl Iterator<Item = &Designator> {
        self.targets.iter().map(|target| &target.designator)
    }

    /// What is to be copied, given what the designators name; `None`: nothing that can be reached.
    ///
    /// # Errors
    /// COPY ABORTED with the segment that cannot be copied, or ILLEGAL REQUEST.
    pub fn ranges(&self, found: &[Option<CopyTarget>]) -> Result<Vec<CopyRange>, Sense> {
        let mut ranges = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let source = self.reached(segment, segment.source, 4, found)?;
            let target = self.reached(segment, segment.target, 6, found)?;
            let range = segment.range(&source, &target, index as u16 + 1)?;
            if range.len_bytes > 0 {
                ranges.push(range);
            }
        }
        Ok(ranges)
    }

    fn reached(
        &self,
        segment: &Segment,
        index: usize,
        field: u16,
        found: &[Option<CopyTarget>],
    ) -> Result<CopyTarget, Sense> {
        let (Some(named), Some(Some(unit))) = (self.targets.get(index), found.get(index)) else {
            return Err(Sense::NOT_REACHABLE.at_segment(segment.at + field));
        };
        if named.device != 0 {
            return Err(Sense::WRONG_DEVICE_TYPE.at_segment(segment.at + field));
        }
        if named.block_bytes != unit.block_bytes {
            return Err(Sense::invalid_parameter(named.at + 29));
        }
        Ok(*unit)
    }
}

impl Segment {
    fn range(
        &self,
        source: &CopyTarget,
        target: &CopyTarget,
        segments: u16,
    ) -> Result<CopyRange, Sense> {
        let (len_bytes, fit) = match self.length {
            Length::Bytes(bytes) => (bytes, 1),
            Length::SourceBlocks(blocks) => (blocks * source.block_bytes, target.block_bytes),
            Length::TargetBlocks(blocks) => (blocks * target.block_bytes, source.block_bytes),
        };
        if len_bytes % fit != 0 {
            return Err(Sense::INEXACT_SEGMENT.at_segment(self.at + 10));
        }
        if len_bytes > SEGMENT_MAX_BYTES {
            return Err(Sense::invalid_parameter(self.at + 8));
        }
        if self.source_byte >= source.block_bytes {
            return Err(Sense::invalid_parameter(self.at + 28));
        }
        if self.target_byte >= target.block_bytes {
            return Err(Sense::invalid_parameter(self.at + 30));
        }
        let place = |lba: u64, byte: u64, unit: &CopyTarget| {
            let offset = lba.checked_mul(unit.block_bytes)?.checked_add(byte)?;
            let end = offset.checked_add(len_bytes)?;
            (end <= unit.blocks * unit.block_bytes).then_some(offset)
        };
        let outside = |field| Sense::COPY_ABORTED.at_segment(self.at + field);
        let source_offset = place(self.source_lba, self.source_byte, source).ok_or(outside(12))?;
        let target_offset = place(self.target_lba, self.target_byte, target).ok_or(outside(20))?;
        let apart_bytes = source_offset.abs_diff(target_offset);
        let overlaps = source.serial == target.serial && apart_bytes < len_bytes;
        if overlaps && apart_bytes > 0 && steps(apart_bytes, len_bytes, target) > STEPS_MAX {
            return Err(Sense::invalid_parameter(self.at + 20));
        }
        Ok(CopyRange {
            source: self.source,
            target: self.target,
            source_offset,
            target_offset,
            len_bytes,
            segments,
        })
    }
}

/// Steps in which a range is copied over a part of itself, so far away: each writes whole blocks and none of what it reads.
fn steps(apart_bytes: u64, len_bytes: u64, target: &CopyTarget) -> u64 {
    let step_bytes = apart_bytes - apart_bytes % target.block_bytes;
    len_bytes.checked_div(step_bytes).unwrap_or(u64::MAX)
}

/// The CSCD descriptors, which end `parameters`.
fn targets(parameters: &[u8]) -> Result<Vec<Target>, Sense> {
    let list = &parameters[HEADER_BYTES..];
    if list.len().div_ceil(TARGET_BYTES) > TARGETS_MAX {
        return Err(Sense::TOO_MANY_TARGETS);
    }
    let mut found = Vec::new();
    for (index, descriptor) in list.chunks(TARGET_BYTES).enumerate() {
        let at = (HEADER_BYTES + index * TARGET_BYTES) as u16;
        if descriptor[0] != IDENTIFICATION {
            return Err(Sense::UNSUPPORTED_TARGET.at_parameter(at));
        }
        if descriptor.len() < TARGET_BYTES {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        let length = usize::from(descriptor[7]);
        let bytes = descriptor[8..28].get(..length);
        found.push(Target {
            designator: Designator {
                code_set: descriptor[4] & 0x0f,
                kind: descriptor[5] & 0x3f,
                bytes: bytes.ok_or(Sense::invalid_parameter(at + 7))?.to_vec(),
            },
            device: descriptor[1] & 0x1f,
            block_bytes: number(descriptor, 29, 3),
            at,
        });
    }
    Ok(found)
}

/// The segment descriptors, from `begin` to the end.
fn segments(parameters: &[u8], begin: usize) -> Result<Vec<Segment>, Sense> {
    let mut found = Vec::new();
    let mut at = begin;
    while at < parameters.len() {
        let rest = &parameters[at..];
        if found.len() == SEGMENTS_MAX {
            return Err(Sense::TOO_MANY_SEGMENTS);
        }
        let whole = match rest[0] {
            BLOCKS => BLOCKS_BYTES,
            WITH_OFFSETS => WITH_OFFSETS_BYTES,
            _ => return Err(Sense::UNSUPPORTED_SEGMENT.at_parameter(at as u16)),
        };
        let segment = rest.get(..whole).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        if number(segment, 2, 2) as usize != whole - 4 {
            return Err(Sense::invalid_parameter(at as u16 + 2));
        }
        found.push(Segment::parse(segment, at as u16));
        at += whole;
    }
    Ok(found)
}

impl Segment {
    fn parse(bytes: &[u8], at: u16) -> Self {
        let with_offsets = bytes[0] == WITH_OFFSETS;
        let byte = |field| {
            if with_offsets {
                number(bytes, field, 2)
            } else {
                0
            }
        };
        Self {
            source: number(bytes, 4, 2) as usize,
            target: number(bytes, 6, 2) as usize,
            source_lba: number(bytes, 12, 8),
            target_lba: number(bytes, 20, 8),
            source_byte: byte(28),
            target_byte: byte(30),
            length: match (with_offsets, bytes[1] & DC != 0) {
                (true, _) => Length::Bytes(number(bytes, 8, 4)),
                (false, false) => Length::SourceBlocks(number(bytes, 10, 2)),
                (false, true) => Length::TargetBlocks(number(bytes, 10, 2)),
            },
            at,
        }
    }
}

/// Big-endian number in `length` bytes from `offset`.
pub(super) fn number(bytes: &[u8], offset: usize, length: usize) -> u64 {
    bytes[offset..offset + length]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Sense {
    /// COPY ABORTED without more.
    const COPY_ABORTED: Self = Self::new(SenseKey::CopyAborted, 0x00, 0x00);
    /// COPY TARGET DEVICE NOT REACHABLE.
    pub const NOT_REACHABLE: Self = Self::new(SenseKey::CopyAborted, 0x0d, 0x02);
    /// THIRD PARTY DEVICE FAILURE: the other logical unit refused what the copy needed.
    pub const OTHER_UNIT_FAILED: Self = Self::new(SenseKey::CopyAborted, 0x0d, 0x01);
    /// INCORRECT COPY TARGET DEVICE TYPE.
    const WRONG_DEVICE_TYPE: Self = Self::new(SenseKey::CopyAborted, 0x0d, 0x03);
    /// UNEXPECTED INEXACT SEGMENT.
    const INEXACT_SEGMENT: Self = Self::new(SenseKey::CopyAborted, 0x26, 0x0a);
    /// INLINE DATA LENGTH EXCEEDED.
    const INLINE_DATA_TOO_LONG: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x0b);
    const TOO_MANY_TARGETS: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x06);
    const UNSUPPORTED_TARGET: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x07);
    pub(super) const TOO_MANY_SEGMENTS: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x08);
    const UNSUPPORTED_SEGMENT: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x09);
    /// OPERATION IN PROGRESS: the list identifier names a copy that has not ended.
    pub(super) const OPERATION_IN_PROGRESS: Self = Self::new(SenseKey::IllegalRequest, 0x00, 0x16);

    /// The same with a segment pointer (SPC-4 §4.5.2.4.6), counted from the parameter list's begin.
    const fn at_segment(self, byte: u16) -> Self {
        self.at_parameter(byte)
    }

    const fn at_parameter(self, byte: u16) -> Self {
        let field = FieldPointer {
            in_cdb: false,
            byte,
            bit: None,
        };
        Self {
            field: Some(field),
            ..self
        }
    }
}
