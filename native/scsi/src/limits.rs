//! Sizes and limits: reported by the block limits VPD page and enforced by the commands, from one place.

/// Bytes of the longest read or write (MAXIMUM TRANSFER LENGTH, SBC-3 §6.6.4).
pub const MAX_TRANSFER_BYTES: u64 = 8 << 20;
/// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
pub(crate) const UNMAP_DESCRIPTORS_MAX: usize = 256;

/// Bytes of a physical block, also the granularity of transfers, atomic writes and UNMAP.
const PHYSICAL_BYTES: u64 = 4096;
const OPTIMAL_BYTES: u64 = 1 << 20;
pub(crate) const UNMAP_BYTES_MAX: u64 = 256 << 20;
pub(crate) const COMPARE_BYTES_MAX: u64 = 64 << 10;
pub(crate) const WRITE_SAME_BYTES_MAX: u64 = 16 << 20;
const ATOMIC_BYTES_MAX: u64 = 1 << 20;

/// The length of a logical block; of a VDisk's never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BlockSize {
    /// 512 bytes on physical blocks of 4 KiB (512e).
    #[default]
    B512,
    /// 4,096 bytes (4Kn).
    B4096,
}

impl BlockSize {
    /// The size of so many bytes, if there is one.
    #[must_use]
    pub fn of(bytes: u64) -> Option<Self> {
        [Self::B512, Self::B4096]
            .into_iter()
            .find(|size| size.bytes() == bytes)
    }

    /// Bytes of a logical block.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }

    /// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT.
    pub(crate) const fn physical_exponent(self) -> u8 {
        self.physical_blocks().ilog2() as u8
    }

    /// Logical blocks of a physical one: granularity of transfers, UNMAP and atomic writes, and ATOMIC ALIGNMENT.
    pub(crate) const fn physical_blocks(self) -> u64 {
        PHYSICAL_BYTES / self.bytes()
    }

    /// MAXIMUM TRANSFER LENGTH: 8 MiB.
    pub(crate) const fn transfer_blocks_max(self) -> u64 {
        MAX_TRANSFER_BYTES / self.bytes()
    }

    /// OPTIMAL TRANSFER LENGTH: 1 MiB.
    pub(crate) const fn transfer_blocks_optimal(self) -> u64 {
        OPTIMAL_BYTES / self.bytes()
    }

    /// MAXIMUM UNMAP LBA COUNT of one command: 256 MiB.
    pub(crate) const fn unmap_blocks_max(self) -> u64 {
        UNMAP_BYTES_MAX / self.bytes()
    }

    /// MAXIMUM COMPARE AND WRITE LENGTH: 64 KiB.
    pub(crate) const fn compare_blocks_max(self) -> u64 {
        COMPARE_BYTES_MAX / self.bytes()
    }

    /// MAXIMUM WRITE SAME LENGTH: 16 MiB.
    pub(crate) const fn write_same_blocks_max(self) -> u64 {
        WRITE_SAME_BYTES_MAX / self.bytes()
    }

    /// MAXIMUM ATOMIC TRANSFER LENGTH: 1 MiB.
    pub(crate) const fn atomic_blocks_max(self) -> u64 {
        ATOMIC_BYTES_MAX / self.bytes()
    }
}
