"""The demonstration world: synthetic people, three members, a department's provider and a council's portal.

Everything here is plainly invented and says so. The gateway itself, the protocol and the evidence are the real ones.

Reading order: `layout` (where everything is), `world` (what is written), `runner` (the processes), `journey` (the
walk).
"""
