"""How long the log's details are kept, and how they leave: erased, expired, archived, exported.

Promises: entries and their proofs stay valid whatever becomes of the details; every step is itself an entry.

- `classes`, `forget`: how long details of each class of events are kept, and forgetting them then.
- `erase`: destroying one person's key, and destroying it again should it come back.
- `archive`: old ranges in folders that verify on their own; deleting their rows.
- `reading`: details are opened for nobody who was not recorded first.
- `published`, `export`, `ocsf`, `ecs`: the log written out, with proofs or in the words of security tools.
"""
