//! Software write protection (SBC-3 §4.12, SPC-4 §7.5.8: SWP), set by MODE SELECT for all initiators of both nodes.
//!
//! A valid command that would alter the medium ends with DATA PROTECT, WRITE PROTECTED. One with nothing to alter is as good as before.

/// True for a command that alters the medium if it has anything to do.
pub(crate) fn alters_medium(cdb: &[u8; 16]) -> bool {
    let action = cdb[1] & 0x1f;
    match cdb[0] {
        // SANITIZE, but not EXIT FAILURE MODE
        0x48 => action != 0x1f,
        // WRITE (6, 10, 12, 16), WRITE AND VERIFY (10, 12, 16), WRITE SAME (10, 16), WRITE ATOMIC (16), ORWRITE (16), COMPARE AND WRITE,
        // UNMAP, FORMAT UNIT, REASSIGN BLOCKS
        0x0a | 0x2a | 0xaa | 0x8a | 0x2e | 0xae | 0x8e | 0x41 | 0x93 | 0x9c | 0x8b | 0x89
        | 0x42 | 0x04 | 0x07 => true,
        // WRITE USING TOKEN. EXTENDED COPY may write to another logical unit only, so it is looked at when that is known.
        0x83 => action == 0x11,
        _ => false,
    }
}
