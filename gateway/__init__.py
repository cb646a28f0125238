"""A cross-government gateway: who someone is, what may be shared about them, and a log that outsiders can verify."""
