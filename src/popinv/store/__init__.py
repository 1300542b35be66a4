"""Stores, files and tables."""

__all__ = ["STAYS_FROM"]

STAYS_FROM = 2**23
"""Numbers of a table from which it may stay in its store, and is read in blocks: 64 MB."""
