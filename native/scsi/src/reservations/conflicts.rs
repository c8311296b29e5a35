//! Which commands a reservation forbids (SPC-4 table 65, SBC-3 table 13).

use super::nexus::Nexus;
use super::table::Table;

/// What a command does, as far as reservations care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Allowed to everybody, or decided by the command itself.
    Free,
    /// Forbidden to others where reads are.
    Reads,
    /// Forbidden to others by every type.
    Writes,
}

/// The class of a command; None: no table of the standards that we know has it.
pub(crate) fn class(cdb: &[u8; 16]) -> Option<Class> {
    let action = cdb[1] & 0x1f;
    Some(match cdb[0] {
        // TEST UNIT READY, REQUEST SENSE, INQUIRY, READ CAPACITY (10), LOG SENSE, PERSISTENT RESERVE IN and OUT, REPORT LUNS
        0x00 | 0x03 | 0x12 | 0x25 | 0x4d | 0x5e | 0x5f | 0xa0 => Class::Free,
        // RESERVE and RELEASE have rules of their own.
        0x16 | 0x17 | 0x56 | 0x57 => Class::Free,
        // START STOP UNIT that only starts, PREVENT ALLOW MEDIUM REMOVAL that only allows
        0x1b if cdb[4] & 0xf1 == 0x01 => Class::Free,
        0x1e if cdb[4] & 0x03 == 0 => Class::Free,
        0x1b | 0x1e => Class::Writes,
        // REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS
        0xa3 if matches!(action, 0x0c | 0x0d) => Class::Reads,
        // REPORT TARGET PORT GROUPS, TIMESTAMP and others that report
        0xa3 => Class::Free,
        // READ CAPACITY (16), REPORT REFERRALS; GET LBA STATUS and STREAM STATUS
        0x9e if matches!(action, 0x10 | 0x13) => Class::Free,
        0x9e if matches!(action, 0x12 | 0x16) => Class::Reads,
        // POPULATE TOKEN
        0x83 if action == 0x10 => Class::Reads,
        // READ (6, 10, 12, 16), MODE SENSE, PRE-FETCH, VERIFY, READ DEFECT DATA, READ BUFFER, RECEIVE DIAGNOSTIC RESULTS
        0x08 | 0x28 | 0xa8 | 0x88 | 0x1a | 0x5a | 0x34 | 0x90 | 0x2f | 0xaf | 0x8f | 0x37
        | 0xb7 | 0x3c | 0x9b | 0x1c | 0x84 | 0x8c => Class::Reads,
        // WRITE (6, 10, 12, 16), WRITE AND VERIFY, WRITE SAME, WRITE ATOMIC, ORWRITE, COMPARE AND WRITE, UNMAP, SANITIZE,
        // SYNCHRONIZE CACHE, FORMAT UNIT, MODE and LOG SELECT, EXTENDED COPY and token writes, WRITE BUFFER, SEND DIAGNOSTIC
        0x0a | 0x2a | 0xaa | 0x8a | 0x2e | 0xae | 0x8e | 0x41 | 0x93 | 0x9c | 0x8b | 0x89
        | 0x42 | 0x48 | 0x35 | 0x91 | 0x04 | 0x15 | 0x55 | 0x4c | 0x83 | 0x3b | 0x1d | 0x07
        | 0xa4 => Class::Writes,
        _ => return None,
    })
}

/// True for a command that no reservation forbids to anybody.
pub(crate) fn is_free(cdb: &[u8; 16]) -> bool {
    class(cdb) == Some(Class::Free)
}

/// True when the reservation forbids the command to the nexus. What is not known counts as a write.
pub(crate) fn forbids(table: &Table, nexus: Option<&Nexus>, cdb: &[u8; 16]) -> bool {
    let Some(held) = &table.reservation else {
        return false;
    };
    let admitted = nexus.is_some_and(|nexus| {
        table.is_holder(nexus) || held.kind.admits_registrants() && table.key_of(nexus).is_some()
    });
    !admitted
        && match class(cdb).unwrap_or(Class::Writes) {
            Class::Free => false,
            Class::Reads => held.kind.forbids_reads(),
            Class::Writes => true,
        }
}
