"""What members import: it needs `wire`, `errors` and `clock`, and never the server.

- `consumer`: ask, and verify the answer; `receipts` keeps what proves it.
- `provider`: answer questions, one function a service; `matching` finds whom they describe; `tables` serves a table
  with no code.
- `settling`, `evidence`, `verify`: settle offline what a receipt, a record, an evidence file or a proof says.
- `cli`: the same on the command line, `gateway-client` (also `python -m gateway.sdk`).

docs/consumers.md and docs/providers.md take ten minutes each.
"""
