"""A program of one's own, which reads and writes files."""
