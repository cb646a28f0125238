"""Web pages by audience: everyone's start page, and what auditors see.

Leaves to others: signing in (`identity`), what an exchange is (`sharing`), the proofs (`audit`).
"""
