r"""The information of a design from the scores of the marginal likelihood.

Systems are simulated at the chosen places from the model itself, and the likelihood integrates over
the parameters of each (:mod:`popinv.inference.integrate.marginal`). With the scores s_n of M
systems,

.. math:: I \approx \frac1M \sum_n s_n s_n^T,

without linearisation. The relative error of a standard error from it is about
:math:`\sqrt{\kappa / M} / 2`, where kappa + 1 is the ratio of the fourth moment of a score to the
square of its second; 2 for normal scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from popinv.errors import DivergenceError
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.uncertainty.standard_errors import simulated
from popinv.late import torch
from popinv.planning.experiment import Experiment
from popinv.planning.search import Group
from popinv.population.noise.composed import NoiseAtSome
from popinv.population.noise.terms import replicated_noise

# Share of the simulated systems whose scores must be finite.
_FINITE = 0.98


class _SomeOutputs:
    """A simulator of some of the outputs: Tensor (n, inputs) to (n, m), with its derivatives."""

    def __init__(self, simulate: Any, places: Sequence[int]) -> None:
        self._simulate, self._places = simulate, torch.tensor(list(places))

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self._simulate(z)
        return values[:, self._places]

    @property
    def differentiable(self) -> bool:
        """Whether the simulator has derivatives."""
        return bool(getattr(self._simulate, "differentiable", True))

    @property
    def linearise(self) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
        """The function of z (n, ...) and tangents (k, n, ...), if the simulator has one."""
        whole = self._simulate.linearise

        def along(z: torch.Tensor, tangents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, change = whole(z, tangents)
            return y[:, self._places], change[:, :, self._places]

        return along


def observed_problem(experiment: Experiment, group: Group, replicates: int) -> Problem:
    """Return the problem of a group's systems at its places, without data."""
    one, places = experiment.of_arm(group.arm), list(group.places)
    some = one.noise.with_terms(family=NoiseAtSome(one.noise.family, places))
    shape = (len(one.data), len(places) * replicates)
    return replace(
        one,
        data=np.zeros(shape),
        noise=replicated_noise(some, replicates),
        conditions=Conditions.stated(shape, known=one.conditions.known),
    ).through(_SomeOutputs(one.simulate, places))


def simulated_information(
    experiment: Experiment, groups: Sequence[Group], replicates: int, systems: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what one system of each group tells, and the error of it, by simulation.

    Parameters
    ----------
    systems : int
        Number of simulated systems of each group.

    Returns
    -------
    informations : list of ndarray of shape (n_p, n_p)
    errors : list of ndarray of shape (n_p,)
        Relative standard errors of the diagonals.

    Raises
    ------
    DivergenceError
        If the likelihood of more than 2 % of the systems is not finite.
    """
    informations, errors = [], []
    for number, group in enumerate(groups):
        problem = observed_problem(experiment, group, replicates)
        problem = replace(problem, stage=f"design/{number}")
        drawn = simulated(problem, experiment.p, systems, "check")
        scores = likelihood_near(drawn, experiment.p, MarginalSettings()).here.scores
        finite = np.isfinite(scores).all(axis=1)
        if finite.mean() < _FINITE:
            raise DivergenceError(
                f"the likelihood of {len(finite) - finite.sum()} of {len(finite)} simulated "
                "systems is not finite"
            )
        scores = scores[finite]
        squares = scores**2
        informations.append(scores.T @ scores / len(scores))
        mean = squares.mean(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors.append(squares.std(axis=0) / np.sqrt(len(scores)) / mean)
    return informations, errors
