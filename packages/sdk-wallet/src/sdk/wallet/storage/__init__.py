"""The wallet's storage: tables, migrations, units of work and the provider that composes them."""
