"""The end of a session, and everybody who hears of it."""
