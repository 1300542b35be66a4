"""The user's own program, which reads and writes files."""
