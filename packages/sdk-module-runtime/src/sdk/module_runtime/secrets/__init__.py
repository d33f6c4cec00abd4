"""Secrets of a module: ``redaction`` keeps them out of whatever is written."""
