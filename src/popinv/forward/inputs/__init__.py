"""Inputs over time of each system: doses, loads, rain; how they are read, and what a solver gets."""
