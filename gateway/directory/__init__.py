"""Members, their clients and their keys: who takes part, and how each proves itself.

Promises: a client or key that is not active is never returned by the `find_` functions that doors use.
Leaves to others: people and officers (`identity`), what members may ask of each other (`sharing`).
"""
