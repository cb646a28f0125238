"""The verbs of `gateway-client`, one module each; `gateway.sdk.cli` puts them together.

A verb has `add(verbs)`, which describes it, and `run(options)`, which does it and returns the exit status.
"""
