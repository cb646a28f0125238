"""The memory: an append-only log that outsiders can verify, of every sign-in, decision, disclosure and refusal.

What each module promises:

- `events`: the registry of everything that can be recorded; nothing else can.
- `append`: an event enters in the caller's own transaction, so it is exactly as durable as what it records.
- `recording`: events that stand alone share transactions; nobody is answered before the commit.
- `subject_keys`: details are encrypted under one key per person, kept outside the database; destroying it erases.
- `noise`: unauthenticated requests are counted, so that a flood cannot become a permanent log.
- `sequencer`: committed events are numbered, written as C2SP tiles, signed, published; restartable at any point.
- `tile_files`, `sources`, `verify`, `prove`: the files, reading them anywhere, checking them all, proving one entry.
- `keeping`: details are erased, forgotten after their time, archived, exported, each step itself an entry.
- `recorded`: questions about events; `views`, `commands`: the doors.

Only this room touches audit rows. It leaves to others what an event means and who may read it.
"""
