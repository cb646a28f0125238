"""Everything about one exchange in one file, which `gateway.sdk.evidence` settles offline years later.

Promises: what leaves holds, or says why there is nothing to show. Leaves to others: what is kept (`exchange`, `policy`,
`audit`), the form of the file (`wire.evidence`), and its checking (`sdk.evidence`). It has no table of its own.
"""
