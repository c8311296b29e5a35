//! twindisk-iscsi
