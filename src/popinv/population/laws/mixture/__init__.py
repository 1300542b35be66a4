"""A population of several kinds of systems, each with its own law."""
