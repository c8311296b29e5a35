//! The pages as data: default bytes and changeable bits, and the values of the latter.

/// Read-write error recovery (SBC-3 §6.5.7): no retries or limits to set.
const ERROR_RECOVERY: [u8; 12] = [0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Caching (SBC-3 §6.5.5): WCE.
const CACHING: [u8; 20] = [
    0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// Control (SPC-4 §7.5.8): GLTSD, fixed format sense data, unrestricted reordering, TAS.
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 0];
/// Informational exceptions control (SBC-3 §6.5.8): DEXCPT.
const EXCEPTIONS: [u8; 12] = [0x1c, 0x0a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// All pages with their default values, by page code.
pub(crate) static PAGES: [&[u8]; 4] = [&ERROR_RECOVERY, &CACHING, &CONTROL, &EXCEPTIONS];

/// Bits of a page that initiators may change.
struct Field {
    page: u8,
    /// Which byte.
    at: usize,
    mask: u8,
}

/// Their places in [`Values`] and in the bytes that are kept: new ones come last.
const FIELDS: [Field; 5] = [
    // WCE
    Field {
        page: 0x08,
        at: 2,
        mask: WCE,
    },
    // D_SENSE
    Field {
        page: 0x0a,
        at: 2,
        mask: D_SENSE,
    },
    // SWP
    Field {
        page: 0x0a,
        at: 4,
        mask: SWP,
    },
    // EWASC, DEXCPT
    Field {
        page: 0x1c,
        at: 2,
        mask: 0x18,
    },
    // MRIE
    Field {
        page: 0x1c,
        at: 3,
        mask: 0x0f,
    },
];
const WCE: u8 = 0x04;
const D_SENSE: u8 = 0x04;
const SWP: u8 = 0x08;
/// METHOD OF REPORTING INFORMATIONAL EXCEPTIONS that are not obsolete, reserved or vendor specific (SPC-4 table 467).
const MRIE: [u8; 6] = [0, 2, 3, 4, 5, 6];

/// How many fields there are.
pub(crate) const FIELD_COUNT: usize = FIELDS.len();

/// The bits that initiators may change, each field's in a byte of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Values([u8; FIELD_COUNT]);

impl Default for Values {
    fn default() -> Self {
        let default = |field: &Field| {
            let page = PAGES.iter().find(|page| page[0] == field.page);
            page.map_or(0, |page| page[field.at] & field.mask)
        };
        Self(FIELDS.each_ref().map(default))
    }
}

impl Values {
    /// Writes may be answered before they are durable.
    pub(crate) fn write_cache(self) -> bool {
        self.0[0] & WCE != 0
    }

    /// CHECK CONDITION comes with sense data in the descriptor format.
    pub(crate) fn descriptor_sense(self) -> bool {
        self.0[1] & D_SENSE != 0
    }

    /// Software write protection.
    pub(crate) fn write_protect(self) -> bool {
        self.0[2] & SWP != 0
    }

    /// The page whose default is `page`, with these values.
    pub(crate) fn page(self, page: &[u8]) -> Vec<u8> {
        let mut bytes = page.to_vec();
        for (field, value) in FIELDS.iter().zip(self.0) {
            if field.page == page[0] {
                bytes[field.at] = bytes[field.at] & !field.mask | value;
            }
        }
        bytes
    }

    /// Take over the values of a page that has its length and fits in all that cannot be changed.
    ///
    /// # Errors
    /// Byte and most significant bit in the page of a field that cannot have its value.
    pub(crate) fn take(&mut self, page: &[u8]) -> Result<(), (usize, u8)> {
        for (field, value) in FIELDS.iter().zip(&mut self.0) {
            if field.page == page[0] {
                *value = page[field.at] & field.mask;
            }
        }
        if MRIE.contains(&self.0[4]) {
            Ok(())
        } else {
            Err((3, 3))
        }
    }

    /// As they are kept.
    pub(crate) fn to_bytes(self) -> [u8; FIELD_COUNT] {
        self.0
    }

    /// The inverse of [`Self::to_bytes`]; `None`: no page has these values.
    pub(crate) fn from_bytes(bytes: [u8; FIELD_COUNT]) -> Option<Self> {
        let fits = FIELDS
            .iter()
            .zip(bytes)
            .all(|(field, value)| value & !field.mask == 0);
        (fits && MRIE.contains(&bytes[4])).then_some(Self(bytes))
    }
}

/// The page of which `page` is the default with all changeable bits set, and no others.
pub(crate) fn changeable(page: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; page.len()];
    bytes[..2].copy_from_slice(&page[..2]);
    for field in FIELDS.iter().filter(|field| field.page == page[0]) {
        bytes[field.at] |= field.mask;
    }
    bytes
}

/// True when a page has bits that can be changed, and so saved.
pub(crate) fn is_savable(page: &[u8]) -> bool {
    FIELDS.iter().any(|field| field.page == page[0])
}
