"""Twindisk: one disk that lives on two servers, offered over iSCSI by both."""
