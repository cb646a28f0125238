"""How much may be asked: requests a minute, exchanges a day, questions about one person.

Promises: no worker and no node gives more than the whole allows; what came to nothing by no fault of the consumer's is
given back.
"""
