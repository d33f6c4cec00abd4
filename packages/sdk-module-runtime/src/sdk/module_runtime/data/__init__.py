"""What a module keeps its data in."""
