//! twindisk-mirror
