"""The OpenID Provider: how relying parties learn who signed in, and how clients get access tokens.

OpenID Connect Core 1.0 with the code flow alone, PKCE S256 and private_key_jwt for everybody (RFC 9700), access tokens
as RFC 9068 says. Promises: nothing that is not asked for rightly is granted, codes and refresh tokens work once and
are known here only by their hashes, a replay revokes what the first use gave, and discovery states what works.

- `authorization/`: what a relying party asks, checked rule by rule; an interrupted request; the code.
- `clients/`: who a client is, and how it is registered.
- `tokens/`: what is issued, what it opens, what is taken back, and purged.
- `parameters`, `oauth_errors`: a request as it was sent; the one page of RFC 6749 answers.
- `metadata`, `endpoints`: what we say about ourselves, and where we are.

Leaves to others: signing people in (`identity`), what a caller may ask for (`sharing`).
"""
