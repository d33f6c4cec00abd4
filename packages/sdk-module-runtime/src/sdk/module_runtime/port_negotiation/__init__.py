"""Where a module listens: a socket it was given, a port of its own, one the orchestrator lends, or one that is free.

A port is never probed: what is answered is bound, and stays so.
"""
