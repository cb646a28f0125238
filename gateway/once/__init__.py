"""What may happen only once: assertion ids, nonces. And the bounded purge of rows whose time is over.

Promises: of any number of claims to the same value, across threads, processes and nodes, exactly one succeeds.
Leaves to others: what a repeated value means for a request.
"""
