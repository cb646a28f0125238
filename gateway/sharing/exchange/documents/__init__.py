"""Large parts of an answer: taken in sealed, piece by piece, and given once to whoever asked.

Promises: nothing is readable at rest; nothing is given before its exchange is committed, nor after a permission ended.
Reading order: `attachments` (taking in), `spool` (at rest), `releasing` (giving), `sweeping`.
"""
