//! twindisk-store
