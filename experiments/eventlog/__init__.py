"""The event log: one JSON Lines file a session, appended to, read and repaired here."""
