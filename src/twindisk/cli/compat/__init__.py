"""The commands of the described product, with its options and its output, byte for byte.

Rules: options are single letters in any order; what a command prints on success goes to standard output, everything else
to standard error; exit status 0 on success, 1 on any failure.
"""
