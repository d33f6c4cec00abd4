"""What every service shares: database and migrations, HTTP application and client, settings, logging, metrics and the sdk command."""
