"""Decides whether this officer of this member may have these fields about this person, under this agreement, today.

Promises: deny by default; a refusal names every rule that applies; an error while deciding is a refusal; a decision
costs the same whatever the number of agreements; the plain inputs of a decision can be kept and decided again later.
Leaves to others: where the facts come from (`sharing`), and what is recorded or told of a decision
(`sharing.exchange`).
"""
