"""Propose parameters to solve: broadly at first, then from the current estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.forward.datasets import proposals
from popinv.population.known import Known
from popinv.population.laws.section import law_spread, law_values
from popinv.population.members import known_of_members
from popinv.population.synthetic import broad_parameters, parameters
from popinv.seeds import generator

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection


def propose_parameters(
    forward: ForwardSection,
    law: LawSection,
    previous_estimate: xr.Dataset | None = None,
    observations: xr.Dataset | None = None,
    previous_surrogate: xr.Dataset | None = None,
    *,
    seed: int,
    round_name: str,
    samples: int,
    candidates: int = 0,
) -> xr.Dataset:
    """Return parameters at which the forward model is to be solved.

    Parameters
    ----------
    forward, law : ForwardSection, LawSection
    previous_estimate : Dataset, optional
        The estimate of the last round. Without it the parameters are spread broadly about the
        start of the law.
    observations : Dataset, optional
        The observed systems, whose known quantities the samples take at random. A study without
        design and covariates needs none.
    previous_surrogate : Dataset, optional
        The surrogate of the last round, if it knows its own error: it chooses the proposals where
        it is most uncertain. Without it the proposals are plain draws.
    seed : int
        The study's seed.
    round_name : str
        "0", "1", ..., "check" or "fixed".
    samples : int
        Number of proposals. A round after a surrogate that is good enough gets none, except
        "check".
    candidates : int
        Number of draws from the current estimate among which proposals are chosen.

    Returns
    -------
    Dataset
        ``z`` (sample, parameter).
    """
    model, stage = law.law(forward), f"propose/{round_name}"
    if previous_estimate is None:
        alpha, spread = law_values(law, law.start, forward), law_spread(law, forward)
        systems, known = _known(observations, seed, stage, samples)
        z = broad_parameters(model, alpha, spread, seed, stage, samples, known)
        source = "broad design about the start"
    else:
        wanted = 0 if previous_estimate.attrs["converged"] and round_name != "check" else samples
        surrogate = previous_surrogate if wanted and candidates else None
        count = wanted if surrogate is None else max(candidates, wanted)
        systems, known = _known(observations, seed, stage, count)
        z = parameters(model, previous_estimate["alpha"].values, seed, stage, count, known)
        source = "current estimate"
        if surrogate is not None:
            # Plain draws need no surrogate. `popinv.workflow.selection` names the module.
            from popinv.surrogate.gaussian_process.acquisition import chosen_rows

            rows = chosen_rows(surrogate, previous_estimate, z, wanted)
            z, systems = z[rows], None if systems is None else systems[rows]
            source = "current estimate, where the surrogate is most uncertain"
    return proposals(z, forward.inputs(), source, systems)


def _known(
    observations: xr.Dataset | None, seed: int, stage: str, count: int
) -> tuple[np.ndarray | None, Known]:
    """Return the systems that samples take their known quantities from, and these quantities."""
    known = Known.nothing(0) if observations is None else known_of_members(observations)
    if not known.width:
        return None, Known.nothing(count)
    systems = generator(seed, f"{stage}/systems").integers(len(known), size=count)
    return systems, known.of(systems)
