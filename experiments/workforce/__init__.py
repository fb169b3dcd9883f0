"""Numbers derived from a workforce session's logged answers: each by a named formula, or None with the reason."""
