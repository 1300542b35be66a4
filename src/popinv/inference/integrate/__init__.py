"""Integrals of densities over the parameters of systems, by draws, modes or moments.

``pseudo`` compares means and covariances of the observations; ``marginal`` integrates over the
parameters of each system by importance sampling, with the proposals of ``proposals`` about the
``modes``.
"""
