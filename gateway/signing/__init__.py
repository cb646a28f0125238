"""The gateway's own keys, one folder a purpose: made, published, signing, kept, retired, without a restart.

Promises: a private key never leaves this room except as a `Signer`; nothing overwrites a key; a key is published before
it signs, and until nothing it signed can live. Keys lie in files, encrypted where there is a passphrase, or in a
hardware module. Leaves to others: what is signed.
"""
