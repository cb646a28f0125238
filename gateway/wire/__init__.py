"""Pure formats: bytes in, values out, and back; no I/O, no clock, no Flask, no database.

What each module promises:

- `signer`: the one thing that may sign, whether software or a hardware module; `keys`: checking a raw signature.
- `encoding`, `canonical`: strict base64url and JSON; RFC 8785 canonical bytes and digests.
- `jws`: compact JWS and JWT (RFC 7515, 7519), attached and detached.
- `http_messages`, `message_signatures`: RFC 9421 and RFC 9530, requests and responses.
- `sd_jwt`: selectively disclosable records (RFC 9901).
- `receipts`: the gateway's signed statement of one outcome.
- `merkle`, `tiles`, `notes`, `leaves`, `proofs`: the log as outsiders see it (RFC 9162, C2SP tlog-tiles).

Every `verify_` and `parse_` takes unverified text and raises a `GatewayError` of `errors`; none returns a boolean.
Replay, revocation and authorisation are decided by the rooms above.
"""
