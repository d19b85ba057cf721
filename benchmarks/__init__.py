"""Measurements: each module is a command that prints figures, with the bar beside them where there is one."""
