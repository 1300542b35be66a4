"""Propose parameters to solve: broadly at first, then from the current estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.forward.datasets import proposals
from popinv.population.laws.values import law_spread, law_values
from popinv.population.synthetic import broad_parameters, parameters

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection

__all__ = ["propose_parameters"]


def propose_parameters(
    forward: ForwardSection,
    law: LawSection,
    previous_estimate: xr.Dataset | None = None,
    *,
    seed: int,
    round_name: str,
    samples: int,
) -> xr.Dataset:
    """Return parameters at which the forward model is to be solved.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    previous_estimate : Dataset, optional
        The estimate of the last round. Without it the parameters are spread broadly about the
        start of the law.
    seed : int
        The study's seed.
    round_name : str
        "0", "1", ..., "check" or "fixed".
    samples : int
        Number of proposals. A round after a surrogate that is good enough gets none, except
        "check".

    Returns
    -------
    Dataset
        ``z`` (sample, parameter).
    """
    model, stage = law.law(forward), f"propose/{round_name}"
    if previous_estimate is None:
        alpha, spread = law_values(law, law.start, forward), law_spread(law, forward)
        z = broad_parameters(model, alpha, spread, seed, stage, samples)
        source = "broad design about the start"
    else:
        wanted = 0 if previous_estimate.attrs["converged"] and round_name != "check" else samples
        z = parameters(model, previous_estimate["alpha"].values, seed, stage, wanted)
        source = "current estimate"
    return proposals(z, forward.parameters(), source)
