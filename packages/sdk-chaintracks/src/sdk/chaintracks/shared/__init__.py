"""Several processes over one store: each learns what the others have written."""
