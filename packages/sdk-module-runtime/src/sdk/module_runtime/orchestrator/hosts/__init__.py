"""Services that the orchestrator offers its modules."""
