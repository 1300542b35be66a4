"""Likelihoods of law and noise: the Gaussian pseudo-likelihood and the marginal likelihood.

``pseudo`` compares means and covariances of the observations; ``marginal`` integrates over the
parameters of each system by importance sampling, with the proposals of ``proposals`` about the
``modes``. ``scoring`` ascends either of them.
"""
