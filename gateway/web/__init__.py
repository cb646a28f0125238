"""The edge of every door: problem documents, request ids, security headers, health, logs, and the frame of pages.

Leaves to others: what any door does.
"""
