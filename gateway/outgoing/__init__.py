"""The only way out: every call the gateway makes to another system goes through here.

Promises: no call reaches a loopback, private, link-local or otherwise special address that was not allowed by name;
the address that was checked is the one that is connected to; no redirect is followed; time and size are bounded.
"""
