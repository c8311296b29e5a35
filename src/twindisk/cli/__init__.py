"""The commands: ``twindisk``, and in ``compat`` the ones that operators of the described product know."""
