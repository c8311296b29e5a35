//! twindisk-python
