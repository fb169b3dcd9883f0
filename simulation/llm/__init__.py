"""The models: whoever has a `generate`. Nothing here decides anything about a session."""
