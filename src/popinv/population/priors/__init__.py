"""Priors on parameters of laws and noise, as a study states them."""
