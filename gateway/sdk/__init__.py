"""What members import: it needs `wire`, `errors` and `clock`, and never the server.

- `consumer`: ask for a record and verify the answer.
- `provider`: answer questions, one function a service.
- `verify`: settle a dispute offline from one proof file and the gateway's public keys (`python -m gateway.sdk verify`).
"""
