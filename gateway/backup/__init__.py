"""A copy of everything but the keys, made while the gateway serves; and the way back, without a second history.

Promises: a backup is whole or has no manifest; its database is never older than its checkpoint; no private key and no
person's key is in it. A restored database that is older than the published log is brought forward from it, what the
log says was taken back since is taken back again, and the whole is verified.

- `manifest`: what a backup holds, and how it is known to be whole.
- `database_copy`, `log_copy`: the two halves, copied either way.
- `making`, `restoring`: the two procedures; `commands`: `gateway backup` and `gateway restore`.
- `forward`: rows for the entries a restored database has lost.
- `aftermath`: what an old database would undo.

It leaves to others where copies are kept, and the keys: `keys/` is the operator's to keep apart, `subject-keys/` is
never kept beside the database, or an erasure would not last.
"""
