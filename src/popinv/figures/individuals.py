r"""Predictions of single systems, and the parameters that they rest on.

The individual parameters of a system are the mode of its posterior at the answer (empirical Bayes):

.. math:: \hat\omega_n = \arg\max_\omega \log p(y_n \mid G(T(\hat\alpha, \omega)), \hat\gamma)
    - \tfrac12 |\omega|^2 .

The individual prediction is the simulator at these parameters. The population prediction is the
mean of the simulator over the recovered law, for the known quantities of the system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from popinv.errors import DivergenceError
from popinv.figures.draws import described_parameters, field_of, matched_omega
from popinv.forward.datasets import replicates_of
from popinv.forward.inputs.shape import PRESENT, InputsShape, is_of_inputs
from popinv.inference.answer.result import estimate_of, parameters_of
from popinv.inference.density.problem import Problem
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal import integrals_at
from popinv.late import torch
from popinv.population.known import Known, inputs
from popinv.population.observe import labels_in, member_labels, numbers_in, unused_columns_of
from popinv.seeds import generator
from popinv.workers import blocks_of, parallel

# Largest number of systems; of more systems, this number is drawn at random.
_SYSTEMS = 1000
# Systems whose modes are found together, and entries of their Jacobians and Hessians.
_TOGETHER, _BLOCK_VALUES = 250, 4e6
# Draws of the law for a population prediction, and observations that are predicted together.
_DRAWS, _AT_ONCE = 200, 4e6


@dataclass(frozen=True)
class Individuals:
    """Observations of n systems with R replicates of d entries, and their predictions.

    Attributes
    ----------
    names : tuple of str
        The names of the systems in the data, or else "system 0" and so on.
    total : int
        Number of systems from which these were drawn.
    observed : ndarray of shape (n, R, d)
        NaN where nothing was observed.
    censored : ndarray of bool, shape (n, R, d)
        Whether the observation is a limit.
    population : ndarray of shape (n, d)
        The population prediction.
    spread : ndarray of shape (n, d)
        Standard deviation of an observation about the population prediction, under the model.
    individual : ndarray of shape (n, d)
        The individual prediction.
    deviation : ndarray of shape (n, d)
        Standard deviation of the noise at the individual prediction.
    parameters : dict of str to ndarray
        The individual parameters (n,) by name; empty for a random field.
    units : dict of str to str
        The units of the parameters.
    known : dict of str to ndarray
        The known quantities (n,) that differ between systems, the columns of the table that the
        study does not use among them; of labels, their numbers.
    labels : dict of str to list of str
        The labels of those that have some.
    timed : dict of str to ndarray
        The inputs over time (n, K) by name, ``time`` first; empty if there are none.
    """

    names: tuple[str, ...]
    total: int
    observed: np.ndarray
    censored: np.ndarray
    population: np.ndarray
    spread: np.ndarray
    individual: np.ndarray
    deviation: np.ndarray
    parameters: dict[str, np.ndarray]
    units: dict[str, str]
    known: dict[str, np.ndarray]
    labels: dict[str, list[str]] = field(default_factory=dict)
    timed: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, rows: np.ndarray) -> Individuals:
        """Return some of the systems."""
        arrays = ("observed", "censored", "population", "spread", "individual", "deviation")
        chosen: dict[str, Any] = {key: getattr(self, key)[rows] for key in arrays}
        for key in ("parameters", "known", "timed"):
            chosen[key] = {name: each[rows] for name, each in getattr(self, key).items()}
        return replace(self, names=tuple(self.names[i] for i in rows), **chosen)

    @property
    def resolved(self) -> np.ndarray:
        """The observations that are no limits, (n, R, d), NaN elsewhere."""
        return np.where(self.censored, np.nan, self.observed)

    @property
    def misfit(self) -> np.ndarray:
        """Root mean square of the individual residuals, in standard deviations of the noise."""
        residual = (self.resolved - self.individual[:, None]) / self.deviation[:, None]
        seen = np.isfinite(residual).sum(axis=(1, 2))
        square = np.nansum(residual**2, axis=(1, 2))
        return np.sqrt(np.where(seen > 0, square / np.maximum(seen, 1), np.nan))

    def ranked(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return at most ``most`` systems with the best fits, and with the worst, none twice."""
        misfit = self.misfit
        order = np.argsort(misfit, kind="stable")[: int(np.isfinite(misfit).sum())]
        worst = min(most, -(-len(order) // 2))
        best = min(most, len(order) - worst)
        return order[:best], order[::-1][:worst]

    def scaled(self, mean: np.ndarray, spread: np.ndarray) -> Individuals:
        """Return the same in units of the spread (d,) of each observation about its mean (d,)."""
        return replace(
            self,
            observed=(self.observed - mean) / spread,
            population=(self.population - mean) / spread,
            individual=(self.individual - mean) / spread,
            spread=self.spread / spread,
            deviation=self.deviation / spread,
        )


def individuals(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Individuals | None:
    """Return the systems of a study with their predictions, or None if no mode can be found.

    Parameters
    ----------
    problem : Problem
        The fitted problem, with the places of each system.
    loaded : mapping of str to Dataset
        ``observations``, ``population`` and ``check``.
    """
    observations, population = loaded["observations"], loaded["population"]
    total = len(problem.data)
    rows = np.arange(total)
    if total > _SYSTEMS:
        rng = generator(problem.seed, "figures/individuals")
        rows = np.sort(rng.choice(total, _SYSTEMS, replace=False))
    own, union = problem.of_systems(rows), problem.at_all_places.of_systems(rows)
    alpha, gamma = (torch.from_numpy(part.copy()) for part in parameters_of(population))
    try:
        omega = modes(own, estimate_of(population))
    except (DivergenceError, torch.linalg.LinAlgError):
        return None
    # Each member of a group is a system of its own here.
    members = problem.members
    of_group = np.repeat(np.arange(len(rows)), members)
    shape = (len(of_group), replicates_of(observations) // members, -1)
    y = np.where(union.conditions.present, np.asarray(union.data), np.nan).reshape(shape)
    below, above = union.conditions.limits.censored(np.asarray(union.data))
    mean, variance = population_prediction(union, alpha, gamma)
    with torch.no_grad():
        z = inputs(union.law, alpha, omega, union.known)[:, : union.law.d_z].numpy()
        at_modes = union.signal(alpha, omega, union.known)
        signal, within = union.noise.mean(at_modes), union.noise.intrinsic_variance(at_modes)
    count, width = len(of_group), y.shape[2]
    signal, within = (each.reshape(count, -1)[:, :width] for each in (signal, within))
    # A discrepancy of the simulator is a part of what is measured.
    signal = union.noise.of_one.shifted(gamma, signal, union.known.covariates)
    mean, variance = (each.reshape(count, -1)[:, :width] for each in (mean, variance))
    union = union.of_systems(of_group) if members > 1 else union
    about = noise_deviations(union, gamma, torch.from_numpy(mean))
    config = _parameter_units(loaded["check"], population)
    names = np.array(member_labels(observations)).reshape(total, members)[rows].ravel()
    found = Individuals(
        names=tuple(map(str, names)),
        total=int(problem.present_members.sum()),
        observed=y,
        censored=(below | above).reshape(shape) & np.isfinite(y),
        population=mean,
        spread=np.sqrt(variance + about**2),
        individual=signal.numpy(),
        deviation=np.sqrt(noise_deviations(union, gamma, signal) ** 2 + within.numpy()),
        parameters=dict(zip(config, z.reshape(count, -1).T, strict=True)) if config else {},
        units=config,
        known=_known(observations, rows) | _unused(observations, rows),
        labels=_labels(observations),
        timed=_timed(observations, rows),
    )
    return found if members == 1 else found.of(np.flatnonzero(np.isfinite(y).any(axis=(1, 2))))


def modes(problem: Problem, p: np.ndarray) -> torch.Tensor:
    """Return the posterior mode of each system's standard normal numbers at p, (N, d_omega)."""
    known, settings = replace(problem, free_noise=False), MarginalSettings()
    d_y, d = problem.data.shape[1], problem.law.d_omega
    size = max(1, min(_TOGETHER, int(_BLOCK_VALUES / max(1, d * (d_y + 4 * d)))))

    def of_block(rows: np.ndarray) -> np.ndarray:
        block = integrals_at(known.of_systems(rows), p)
        return block.find_modes(settings, None).omega.numpy()

    blocks = blocks_of(len(problem.data), size)
    found = list(parallel(of_block, blocks, "individual parameters"))
    return torch.from_numpy(np.concatenate(found))


def population_prediction(
    problem: Problem, alpha: torch.Tensor, gamma: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the noise-free observations of each system, (N, d_y) each.

    The variance of a random simulator contains its intrinsic variation. Systems with equal known
    quantities have the same. All have the same draws of the law.
    """
    columns = problem.known.columns
    _, first, group = np.unique(columns, axis=0, return_index=True, return_inverse=True)
    omega = matched_omega(problem, _DRAWS)
    at_once = max(1, int(_AT_ONCE / (len(omega) * problem.data.shape[1])))

    def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known: Known = problem.known.of(rows).repeated(len(omega))
        with torch.no_grad():
            signal = problem.signal(alpha, omega.repeat(len(rows), 1), known)
            signal = signal.reshape(len(rows), len(omega), -1)
            within = np.nanmean(problem.noise.intrinsic_variance(signal).numpy(), axis=1)
            mean = problem.noise.mean(signal).flatten(0, 1)
            y = (mean + problem.noise.shift(gamma, known.covariates)).numpy()
        y = y.reshape(len(rows), len(omega), -1)
        # Draws without a result of the simulator are left out.
        return np.nanmean(y, axis=1), np.nanvar(y, axis=1) + within

    blocks = [first[rows] for rows in blocks_of(len(first), at_once)]
    found = list(parallel(moments, blocks, "population predictions"))
    mean, variance = (np.concatenate(part)[group.reshape(-1)] for part in zip(*found, strict=True))
    return mean, variance


def noise_deviations(problem: Problem, gamma: torch.Tensor, signal: torch.Tensor) -> np.ndarray:
    """Return the standard deviation (n, d) of each system's noise at signals of one replicate."""
    noise = problem.noise.of_one.measured
    with torch.no_grad():
        each = noise.deviations(gamma, signal, problem.known.covariates)
    return np.asarray(problem.conditions.scale[:, None] * each.numpy())


def _parameter_units(check: xr.Dataset, population: xr.Dataset) -> dict[str, str]:
    """Return the units of the parameters by name; nothing if they are coefficients of a field."""
    if field_of(population) is not None:
        return {}
    names = [str(name) for name in check["parameter"].values]
    return {each.name: each.units for each in described_parameters(population, names)}


def _known(observations: xr.Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return design and covariates (n,) that differ between systems, as they are in the data."""
    found: dict[str, np.ndarray] = {}
    for kind in ("design", "covariate"):
        if kind not in observations:
            continue
        values = observations[kind].values[rows]
        # The members of a group stand one after the other.
        values = values.reshape(-1, values.shape[-1])
        if "covariate_centre" in observations and kind == "covariate":
            values = values + observations["covariate_centre"].values
        names = map(str, observations[f"{kind}_name"].values)
        found |= dict(zip(names, values.T, strict=True))
    return {
        name: values
        for name, values in found.items()
        if np.ptp(values) > 0 and not is_of_inputs(name)
    }


def _unused(observations: xr.Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns (n,) that the study does not use: numbers, or numbers of labels."""
    found: dict[str, np.ndarray] = {}
    # All members of a group have what is the same in them.
    rows = np.repeat(rows, observations.sizes.get("member", 1))
    for name, cells in unused_columns_of(observations).items():
        codes, numbers = labels_in(cells)[0], numbers_in(cells)
        values = np.where(codes < 0, np.nan, codes) if numbers is None else numbers
        found[str(name)] = values[rows]
    return found


def _labels(observations: xr.Dataset) -> dict[str, list[str]]:
    """Return the labels of the columns that the study does not use."""
    unused = unused_columns_of(observations).items()
    return {str(name): labels_in(cells)[1] for name, cells in unused if numbers_in(cells) is None}


def _timed(observations: xr.Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs over time (n, K) by name, with NaN after the last event of a system."""
    names = list(map(str, observations["design_name"].values)) if "design" in observations else []
    shape = InputsShape.of_names(names)
    if shape is None:
        return {}
    parts = shape.apart(observations["design"].values[rows][:, -shape.width :])
    present = parts.pop(PRESENT)
    return {name: np.where(present, values, np.nan) for name, values in parts.items()}
