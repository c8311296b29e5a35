//! twindisk-runtime
