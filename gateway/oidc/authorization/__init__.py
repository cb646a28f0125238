"""The authorization endpoint: what a relying party asks, who answers at the browser, and the code that comes of it.

Promises: who asks and where to answer is known before anything is redirected; every check is one rule of one section.
Leaves to others: signing people in (`identity`), what a code is worth (`tokens`).
"""
