"""Starts modules, watches over them and stops them."""
