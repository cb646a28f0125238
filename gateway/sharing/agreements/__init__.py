"""Agreements: who may ask whom for which fields, for which purpose, on which power, how strongly signed in.

Promises: an agreement is in force only while both members' signatures over its exact content verify against the keys
that the directory holds for them; a signed version never changes; every import, signature, suspension and resumption is
in the log.
Leaves to others: deciding under an agreement (`gateway.policy`), what members may be asked (`catalogue`).
"""
