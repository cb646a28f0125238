"""The OpenID Provider: how relying parties learn who signed in, and how clients get access tokens.

OpenID Connect Core 1.0 with the code flow alone, PKCE S256 and private_key_jwt for everybody (RFC 9700), access tokens
as RFC 9068 says. Promises: nothing that is not asked for rightly is granted, codes and refresh tokens work once and
are known here only by their hashes, a replay revokes what the first use gave, and discovery states what works.

- `parameters`, `authorization`, `tickets`: what a relying party asks, checked rule by rule; an interrupted request.
- `codes`, `access_tokens`, `id_token`: what is issued. `revocation`: what is taken back, and purged.
- `client_assertion`, `token_endpoint`, `grants`: who asks for tokens, and the three ways to get some.
- `userinfo`, `caller`: what an access token opens. `metadata`: what we say about ourselves.
- `oauth_errors`: the one page of RFC 6749 answers.

Leaves to others: signing people in (`identity`), what a caller may ask for (`sharing`).
"""
