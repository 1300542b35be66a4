"""The user's own Python function, run in a separate process."""
