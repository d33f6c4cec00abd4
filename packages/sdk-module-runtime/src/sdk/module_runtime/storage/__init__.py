"""The orchestrator's tables, all prefixed ``runtime_``."""
