"""`python -m benchmarks`: how fast the gateway is on this machine, beside what the machine could do at all.

Every figure is a rate, next to the *floor*: the rate at which this machine does nothing but the work that cannot be
left out (signatures, Argon2, durable writes, loopback HTTP), measured in the same run. The ratio of the two is what
can be compared between machines. Nothing here passes or fails. README.md says what each figure means.
"""
