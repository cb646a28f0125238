"""Whom a question is about: found under every name they may be given, and whoever may not be told of.

Promises: one person is found however they are described; lists of people hold keyed hashes, never a name.
"""
