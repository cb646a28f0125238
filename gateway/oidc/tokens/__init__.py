"""Tokens: what is issued for a code, a refresh token or a client's own name, what it opens, and how it is taken back.

Promises: codes and refresh tokens are known here only by their hashes, a replay revokes what the first use gave, and no
token says more, lives longer or names a stronger sign-in than what it came from.

- `endpoint`, `token_request`: one request; `code_grant`, `refresh`, `client_grant`, `token_exchange`: the grants.
- `issuing`, `access_tokens`, `id_token`, `claims`, `response_signing`: what is issued, what it says, how it is signed.
- `userinfo`, `caller`: what a token opens. `token_management`: `introspection`, and `revocation_requests`.
- `revocation`: taking back, and forgetting what is over.

Leaves to others: who the client is (`clients`), what a caller may ask for (`sharing`).
"""
