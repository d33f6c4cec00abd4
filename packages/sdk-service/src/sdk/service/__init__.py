"""What every service shares: database, migrations, HTTP, settings, logging, metrics and the ``sdk`` command."""
