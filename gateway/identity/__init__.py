"""People and how they prove who they are: accounts, authenticators, sign-in pages, sessions, pseudonyms.

Promises: a session says who signed in, how strongly and when, and a suspended account has none; an unknown person and a
wrong password are told apart by nothing; an account's `sub` in one sector says nothing about its `sub` in another.
Every sign-in, failure and sign-out is in the log, in the transaction that makes it true.

- `accounts`, `registration`: who there is, and how they come and go. `people`: the room assembled.
- `passwords`, `security_codes`, `sealing`: what people prove themselves with, and how it is kept.
- `assurance`: how strong a sign-in was. `throttling`: how often one may try.
- `sign_in`, `sessions`, `guards`: the sign-in in two steps, what remembers it, and who may see a page.
- `pairwise`, `subjects`: the names a person has, towards each sector and in our own log.
- `caller`: who is calling the gateway's guarded doors.

Leaves to others: what a signed-in person may do (`sharing`, `pages`), and how relying parties learn of it (`oidc`).
"""
