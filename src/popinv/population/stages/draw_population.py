"""Draw the parameters of a synthetic population from its true law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.forward.datasets import proposals
from popinv.population.laws.values import law_values
from popinv.population.synthetic import parameters

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection

__all__ = ["draw_population"]


def draw_population(
    forward: ForwardSection,
    law: LawSection,
    *,
    seed: int,
    samples: int,
    round_name: str = "truth",
) -> xr.Dataset:
    """Return the parameters of systems drawn from a law.

    Parameters
    ----------
    forward : ForwardSection
    law : LawSection
        Its ``start`` holds the values that the systems are drawn with.
    seed, samples : int
        Seed of the study, and number of systems.
    round_name : str
        "truth" for the study's own population, ``systems_N`` for further ones.

    Returns
    -------
    Dataset
        ``z`` (sample, parameter).
    """
    alpha = law_values(law, law.start, forward)
    z = parameters(law.law(forward), alpha, seed, round_name, samples)
    return proposals(z, forward.parameters(), source="true law")
