"""The authorization endpoint: what a relying party asks, who answers at the browser, and the code that comes of it.

- `effective`, `request`, `checks`: what is asked, by whom, and whether it may be; the same for a pushed request.
- `person`, `hints`, `consent`, `tickets`: who is to answer, and what they still have to do; a request that waits.
- `codes`, `response_modes`: the code, and how an answer travels.
- `pushed`, `pushing`, `request_objects`, `jarm`, `fapi`: RFC 9126, RFC 9101, signed answers, and what FAPI 2.0 adds.

Promises: who asks and where to answer is known before anything is redirected; every check is one rule of one section.
Leaves to others: signing people in (`identity`), what a code is worth (`tokens`).
"""
