"""The researcher's two files: what may stand in them, read and checked, and what they come to."""
