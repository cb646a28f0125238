"""The gateway's own keys: one folder a purpose, the newest key signs, every key kept is published.

Promises: a private key never leaves this room except as a `Signer`; nothing overwrites a key.
Leaves to others: what is signed. A hardware module takes the place of these files by satisfying `wire.signer.Signer`.
"""
