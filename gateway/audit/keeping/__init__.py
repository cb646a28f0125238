"""How long the log's details are kept, and how they leave: erased, expired, archived, exported.

Promises: entries and their proofs stay valid whatever becomes of the details; every step is itself an entry.
"""
