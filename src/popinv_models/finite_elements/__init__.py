"""Finite elements: Firedrake, its matrices as plain arrays, and banded solvers for them."""
