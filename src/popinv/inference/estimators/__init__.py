"""Estimators of law and noise: the distance, the pseudo-likelihood and the likelihood."""
