"""The node's REST API: for operators on a UNIX socket, for the peer on the mirror address."""
