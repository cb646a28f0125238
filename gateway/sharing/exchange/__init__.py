"""One request for a record and its outcome: decided, fetched, minimised, decided again, accounted for, answered.

Promises: every authenticated request ends in the log; no answer leaves before its entry and receipt are committed; a
decision holds only in the transaction that commits it; no transaction is open while a provider is asked.
Leaves to others: who is calling (`identity`), what is permitted (`policy`), the log itself (`audit`).

Reading order: `views` (the door), `exchange` (the procedure), then the steps it names. `people` says whom it is about,
`limits` how much may be asked, `documents` what becomes of large parts.
"""
