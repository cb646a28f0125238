"""Durable work to be delivered to others: promised in one transaction, made later, tried again or given up in the end.

`enqueue` writes a delivery in the caller's transaction, so it is promised exactly when the change it tells of commits.
`Courier` (in `gateway work`) claims what is due and hands it to the handler of its kind; a delivery whose worker died
is claimed again, so each is made at least once. What cannot be delivered becomes a dead letter: an event of the log, an
alert, and a row that `gateway outbox` shows until an operator retries or discards it.

A payload holds references, never a token or anything about a person: what is sent is made at the moment of sending.
What a delivery means, and how it is sent, is its handler's business: `app` brings handlers and kinds together.
"""
