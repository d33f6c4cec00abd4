"""A local chain that speaks the wires of the real services, for tests and play."""
