"""The module's side: it is started, told who it is, asks for secrets and services, and serves."""
