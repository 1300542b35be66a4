"""A function of one's own in Python, run in a process of its own."""
