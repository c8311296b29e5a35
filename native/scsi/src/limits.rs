//! Sizes and limits: reported by the block limits VPD page and enforced by the commands, from one place.

/// Bytes of a logical block.
pub const BLOCK_BYTES: u64 = 512;
/// Bytes of the longest read or write (MAXIMUM TRANSFER LENGTH, SBC-3 §6.6.4).
pub const MAX_TRANSFER_BYTES: u64 = 8 << 20;

/// The same in blocks.
pub(crate) const TRANSFER_BLOCKS_MAX: u64 = MAX_TRANSFER_BYTES / BLOCK_BYTES;
/// OPTIMAL TRANSFER LENGTH: 1 MiB.
pub(crate) const TRANSFER_BLOCKS_OPTIMAL: u32 = (1 << 20) / BLOCK_BYTES as u32;
/// Logical blocks of a physical one (4 KiB), also the granularity of transfers and UNMAP.
pub(crate) const PHYSICAL_BLOCKS: u16 = 1 << PHYSICAL_EXPONENT;
/// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT.
pub(crate) const PHYSICAL_EXPONENT: u8 = 3;
/// MAXIMUM UNMAP LBA COUNT of one command: 256 MiB.
pub(crate) const UNMAP_BLOCKS_MAX: u64 = (256 << 20) / BLOCK_BYTES;
/// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
pub(crate) const UNMAP_DESCRIPTORS_MAX: usize = 256;
/// MAXIMUM COMPARE AND WRITE LENGTH: 64 KiB.
pub(crate) const COMPARE_BLOCKS_MAX: u64 = (64 << 10) / BLOCK_BYTES;
/// MAXIMUM WRITE SAME LENGTH: 16 MiB.
pub(crate) const WRITE_SAME_BLOCKS_MAX: u64 = (16 << 20) / BLOCK_BYTES;
/// MAXIMUM ATOMIC TRANSFER LENGTH: 1 MiB.
pub(crate) const ATOMIC_BLOCKS_MAX: u64 = (1 << 20) / BLOCK_BYTES;
/// ATOMIC ALIGNMENT and ATOMIC TRANSFER LENGTH GRANULARITY: one physical block.
pub(crate) const ATOMIC_BLOCKS_GRANULARITY: u64 = PHYSICAL_BLOCKS as u64;
