"""What members import: it needs `wire`, `errors` and `clock`, and never the server.

- `verify`: settle a dispute offline from one proof file and the gateway's public keys (`python -m gateway.sdk verify`).
"""
