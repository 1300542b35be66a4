"""Draw the parameters of a synthetic population from its true law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from popinv.forward.datasets import proposals
from popinv.late import torch
from popinv.population.known import Known
from popinv.population.laws.levels import LevelLaw
from popinv.population.laws.section import law_values
from popinv.population.members import members_apart
from popinv.population.synthetic import parameters
from popinv.population.synthetic_observed import synthetic_known

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection
    from popinv.population.sections import SyntheticObservations


def draw_population(
    forward: ForwardSection,
    law: LawSection,
    observations: SyntheticObservations | None = None,
    *,
    seed: int,
    samples: int,
    round_name: str = "truth",
) -> xr.Dataset:
    """Return the parameters of systems drawn from a law, or of the members of groups.

    Parameters
    ----------
    law : LawSection
        Its ``start`` holds the values that the systems are drawn with.
    observations : SyntheticObservations, optional
        Its distributions of design and covariates, and the members of groups; a study without
        them needs none.
    seed, samples : int
        Seed of the study, and number of systems; of the members of all groups, where there are any.
    round_name : str
        "truth" for the study's own population, ``systems_N`` for further ones.

    Returns
    -------
    Dataset
        ``z`` (sample, parameter).
    """
    alpha = law_values(law, law.start, forward)
    design, covariates = forward.design_names(), law.covariate_names()
    of_one = drawn = law.law(forward)
    tree = None if observations is None else observations.tree(law.level_names())
    if tree is not None and isinstance(of_one, LevelLaw):
        drawn, samples = of_one.of_groups(tree), samples // tree.members
    columns = None
    if observations is not None:
        columns = synthetic_known(observations, design, covariates, seed, samples)
    known = None if columns is None else Known.of_arrays(columns.design, columns.covariates)
    z = parameters(drawn, alpha, seed, round_name, samples, known)
    if tree is not None:
        z = members_apart(torch.from_numpy(z), tree.members, of_one.d_z).numpy()
    return proposals(z, forward.inputs(), source="true law")
