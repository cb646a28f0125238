"""The end of a session, and everybody who hears of it.

- `consequences`: what follows in the transaction that ends a session: tokens are taken back, notices promised.
- `back_channel`: the notice a server gets, through the outbox: signed when it is sent, tried until it is taken.
- `front_channel`: the notice a browser carries, in frames.
- `requests`: what a relying party asks at the `end_session_endpoint`, checked rule by rule.
- `signing_out`: ends what a browser has, for its person or at a relying party's request.
- `views`: the pages: signing out here, at a relying party's request, everywhere.

Promises: nobody is signed out by another site without saying so, unless that site proves by its ID token that this very
session is one it knows; an error is a page and never a redirect; every client that was given tokens is told of the
session's end, whatever ended it. ADR 0026 says which tokens end with a session.
"""
