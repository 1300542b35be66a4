"""The problem of an estimate, and the density of its observations given the noise-free ones."""
