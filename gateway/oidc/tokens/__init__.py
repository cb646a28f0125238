"""Tokens: what is issued for a code, a refresh token or a client's own name, what it opens, and how it is taken back.

Promises: codes and refresh tokens are known here only by their hashes, and a replay revokes what the first use gave.
Leaves to others: who the client is (`clients`), what a caller may ask for (`sharing`).
"""
