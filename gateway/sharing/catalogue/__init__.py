"""What can be asked for: each provider's services, the fields they answer with, and how a person may be described.

Promises: a recorded service has a closed JSON Schema in which every field is described.
Leaves to others: who may ask (`agreements`, `gateway.policy`), asking (`exchange`).
"""
