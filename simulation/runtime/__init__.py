"""The shell round a core: its clock, and the session that drives it."""
