"""Lorenz-96, with one scale or two: chaotic dynamics observed through averages over time."""
