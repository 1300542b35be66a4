"""Parameters that are normal after a transform of each."""

from __future__ import annotations

from popinv.population.laws.gaussian import GaussianLaw


class TransformedNormalLaw(GaussianLaw):
    """Parameters that are jointly normal after a transform of each, which the section names."""
