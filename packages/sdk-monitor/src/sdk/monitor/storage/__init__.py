"""The monitor's own tables: when each task is due, who runs it, and what became of it."""
