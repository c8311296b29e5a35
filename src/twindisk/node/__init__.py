"""The node: the shell that acts. Everything here does I/O; nothing here decides who may serve (that is ``brain``)."""
