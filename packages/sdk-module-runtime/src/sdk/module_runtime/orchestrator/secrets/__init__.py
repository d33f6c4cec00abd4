"""The orchestrator's secrets: encrypted at rest, given to modules by right, every access written down."""
