"""The workforce simulator's core: role agents round a table, advanced a round at a time."""
