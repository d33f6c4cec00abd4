"""A database that the orchestrator lends, for whatever stands on SQLAlchemy or on ``sdk.service.database``.

``lent+sqlite://NAME``, ``lent+postgresql://NAME`` and ``lent+mysql://NAME`` are URLs of a module's own database scopes.
The driver's connection, and what is needed to open it, are the orchestrator's; statements, values and errors go through
the module's link as the driver has them (ADR 68).
"""
