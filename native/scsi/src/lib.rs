//! twindisk-scsi
