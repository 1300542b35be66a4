"""Propose parameters to solve: broadly at first, then from the current estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.forward.datasets import proposals
from popinv.population.known import Known
from popinv.population.laws.section import law_spread, law_values
from popinv.population.members import (
    DrawnMembers,
    is_grouped,
    known_of_members,
    observed_members,
)
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
        design, covariates and levels needs none. With levels, members are solved: those of the
        broad design and the chosen ones are drawn one by one, the others group by group.
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
        origin, known = _known(observations, seed, stage, samples)
        z = broad_parameters(model, alpha, spread, seed, stage, samples, known)
        source = "broad design about the start"
    else:
        wanted = 0 if previous_estimate.attrs["converged"] and round_name != "check" else samples
        surrogate = previous_surrogate if wanted and candidates else None
        count = wanted if surrogate is None else max(candidates, wanted)
        alpha, source = previous_estimate["alpha"].values, "current estimate"
        if law.level_names() and surrogate is None and count:
            # The error of the surrogate moves the scores of whole groups.
            assert observations is not None
            rng = generator(seed, f"{stage}/systems")
            drawn = DrawnMembers.of(observations, rng, count)
            z, origin = drawn.parameters(model, alpha, observations, seed, stage), drawn.origin
        else:
            origin, known = _known(observations, seed, stage, count)
            z = parameters(model, alpha, seed, stage, count, known)
        if surrogate is not None:
            # Plain draws need no surrogate. `popinv.workflow.selection` names the module.
            from popinv.surrogate.gaussian_process.acquisition import chosen_rows

            rows = chosen_rows(surrogate, previous_estimate, z, wanted)
            z, origin = z[rows], {name: values[rows] for name, values in origin.items()}
            source = "current estimate, where the surrogate is most uncertain"
    return proposals(z, forward.inputs(), source, origin)


def _known(
    observations: xr.Dataset | None, seed: int, stage: str, count: int
) -> tuple[dict[str, np.ndarray], Known]:
    """Return which systems or members samples stand for, one by one, and what is known of them."""
    known = Known.nothing(0) if observations is None else known_of_members(observations)
    grouped = observations is not None and is_grouped(observations)
    if not known.width and not grouped:
        return {}, Known.nothing(count)
    rows = generator(seed, f"{stage}/systems").integers(len(known), size=count)
    if not grouped:
        return {"system": rows}, known.of(rows)
    assert observations is not None
    system, member = np.nonzero(observed_members(observations))
    origin = {"system": system[rows], "member": member[rows], "group": np.full(count, -1)}
    return origin, known.of(rows)
