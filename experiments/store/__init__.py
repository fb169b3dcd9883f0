"""Tokens, participants, sessions and their conditions, in one database. Here all SQL lives.

It is the index of sessions, never the only copy of an event: those stand in the event logs.
"""
