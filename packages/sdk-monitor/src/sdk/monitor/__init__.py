"""The background work that gets transactions sent, proven and repaired."""
