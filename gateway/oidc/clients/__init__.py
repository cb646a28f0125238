"""Clients: how one proves who it is, and how it comes to be registered.

Promises: a proof works once and for us alone; a stranger learns neither which rule failed nor whether a client exists.
Leaves to others: where clients are kept (`directory`), what they may then have (`tokens`).
"""
