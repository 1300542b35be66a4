"""Priors on parameters of laws and noise: their keys, their densities, and their names."""
