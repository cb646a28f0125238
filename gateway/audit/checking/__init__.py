"""The log checked: by an outsider from its files alone, by its operator against the database too, once or for ever.

Promises: whatever disagrees is named by its index; nothing is changed. Leaves to others: what the log says.
"""
