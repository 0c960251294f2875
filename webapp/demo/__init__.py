"""Fernweh Outfitters (synthetic): an invented outdoor shop, the same at every run."""
