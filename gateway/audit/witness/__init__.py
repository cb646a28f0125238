"""A witness of other gateways' logs: it countersigns a checkpoint only if it continues the last one it saw.

Promises: what it cosigned is durable before it says so, and it never cosigns two histories of one log (C2SP
tlog-witness). Leaves to others: everything about this gateway's own log.
"""
