"""Parameters that are normal after a transform of each."""
