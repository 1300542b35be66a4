r"""Features of a system that reveal mistakes of the model.

Every feature is the score of one further parameter, which is zero in the fitted model (Rao, Proc.
Camb. Phil. Soc. 44, 1948). With the whitened residual r of a system, its signal g, and its standard
normal numbers omega, it is the posterior mean of

==================================  =====================================================
correlation of the noise, lag h     :math:`\sum_t r_t r_{t+h}`
correlation between neighbours      :math:`\sum r_j r_k` over pairs of near observations
deviation in a group of entries     :math:`\tfrac12 \sum_j (r_j^2 - 1)`
growth with the signal              :math:`\sum_j (r_j^2 - 1) \log|g_j|`
heavy tails                         :math:`\sum_j \mathrm{He}_4(r_j) / 24`
deviation from system to system     :math:`\tfrac12 (\sum_j (r_j^2 - 1))^2`
offset in a group of entries        :math:`\sum_j r_j`
correlation of two parameters       :math:`\omega_i \omega_k`
skewness, kurtosis of a parameter   :math:`\mathrm{He}_3(\omega_i)/6, \mathrm{He}_4(\omega_i)/24`
groups of a parameter               :math:`(c - e^{-2 \omega_i^2}) / (1 - c)`
effect of a known quantity c        :math:`\omega_i c`
==================================  =====================================================

Known quantities are the design, the covariates, and the columns of the table that the study does
not use. Those of the law of a random field are in :mod:`popinv.inference.checks.field_features`;
what is known of its systems, and of more than four parameters, multiplies the score of the law's
own entries. Some features are of pairs of systems: the parameters of systems with the same label,
and of neighbours in the table, may be alike (:mod:`popinv.inference.checks.pairs`).

He are Hermite polynomials, and the c of the groups is :math:`5^{-1/2}`, the mean under the fitted
law: the density at the centre of the law then falls by the parameter, as a share. A user would want
to know of a parameter of the size ``large``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from popinv.forward.datasets import observation_names, place_coordinates, time_series
from popinv.forward.inputs.shape import is_of_inputs
from popinv.inference.checks.faults import (
    Largest,
    Spread,
    gaps_by_signal,
    largest_square,
    roundings,
    values_at_limits,
)
from popinv.inference.checks.pairs import SystemPairs
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.population.observe import labels_in, numbers_in, system_names, unused_columns_of
from popinv.seeds import generator

# Largest number of groups of observations, of parameters with features of their own, and of lags.
_GROUPS, _PARAMETERS, _LAGS = 12, 4, 2
# Number of signals drawn for their sizes. A signal below this share of its observation's usual size
# counts as this size. Sizes that differ by less count as equal.
_SIGNALS, _LEAST_SIGNAL, _LEAST_SPREAD = 500, 0.05, 0.1

_IN_TIME = "noise.kind: autoregressive, or kernel"
_BETWEEN = "noise.kind: kernel, blocks or channels"
_BY_ENTRY = "noise.kind: diagonal"
_GROWS = "noise.errors.grows: combined or proportional"
_TAILS = "noise.errors.tails: student"
_BY_SYSTEM = "noise.errors.covariates or noise scales, if something known explains it"
_OFFSET = "look at the simulator and at the units of this observation"
_CORRELATED = "law.correlations: true"
_SHAPE = "another transform of it, or law.kind: mixture or free_form"
_KNOWN = "law.covariates: {{{parameter}: [{column}]}}"
_OTHER_LAW = ", with a normal law, as the law of this study takes none"
_LEVEL = (
    "law.levels: {{{column}: [{parameter}]}}, with the column of the systems as the inner level"
)
_ORDER = "law.covariates or law.levels, with a column that explains the order of the table"
_GAPS = "the limit in place of each gap, with observations.censored_below or censored_above"
_WITHOUT = "observations.without, if it is a mistake of the data"
# Deviations from all others at which a user would want to know of a system.
_FAR = 5.0
# Labels of fewer groups are covariates, of more a level.
_FEWEST_GROUPS = 4

# Maps omega (n, S, d_omega), residual and signal (n, S, d_y) to shape (n, S).
OfDraws = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes
    ----------
    part : {"law", "noise", "simulator"}
        The part of the model that is wrong if the parameter is not zero.
    name : str
        Name of the feature, for example ``lag_1``.
    told : str
        The finding in words, such as "the noise is correlated in time (lag 1)".
    remedy : str
        The next larger model that has this parameter.
    unit : str
        The meaning of its parameter, such as "correlation".
    of : callable
        The function of single draws.
    by : int, optional
        The column of the known quantities of the systems that multiplies the feature.
    pooled : SystemPairs or Largest, optional
        How the values of the systems become one number, if not as their mean.
    of_data : callable, optional
        The function of data (n, d_y) and of what is present, in place of a function of draws.
    entry : int, optional
        The entry of p whose score of the system is the feature, in place of a function of draws.
    fault : bool
        Whether the data are wrong, which looks like mistakes of all parts.
    """

    part: Literal["law", "noise", "simulator"]
    name: str
    told: str
    remedy: str
    unit: str
    large: float
    of: OfDraws | None = None
    by: int | None = None
    pooled: SystemPairs | Largest | None = None
    of_data: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    entry: int | None = None
    fault: bool = False


@dataclass(frozen=True)
class FeatureSet:
    """The features of a problem; calling it gives them for single draws.

    Attributes
    ----------
    features : sequence of Feature
    known : ndarray of shape (N, c)
        Known quantities of the systems, in units of their deviations.
    """

    features: Sequence[Feature]
    known: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @cached_property
    def _distinct(self) -> list[OfDraws]:
        """The functions of draws, each once."""
        return list(dict.fromkeys(f.of for f in self.features if f.of is not None))

    def __call__(
        self, omega: torch.Tensor, residual: torch.Tensor, signal: torch.Tensor
    ) -> torch.Tensor:
        """Return functions of draws (n, S, d_omega), (n, S, d_y), (n, S, d_y) as (n, S, d)."""
        return torch.stack([of(omega, residual, signal) for of in self._distinct], dim=-1)

    def of_systems(self, means: np.ndarray, scores: np.ndarray, problem: Problem) -> np.ndarray:
        """Return the features (n, k) of systems.

        Parameters
        ----------
        means, scores : ndarray of shape (n, d), (n, n_p)
            Posterior means of the functions, and scores. The systems have the known quantities of
            the observed ones in turns.
        """
        found = np.empty((len(means), len(self.features)))
        systems = np.arange(len(means)) % max(1, len(self.known))
        for column, feature in enumerate(self.features):
            if feature.of_data is not None:
                y, present = np.asarray(problem.data), problem.conditions.present
                found[:, column] = feature.of_data(y, present)
            elif feature.entry is not None:
                found[:, column] = scores[:, feature.entry]
            elif feature.of is not None:
                found[:, column] = means[:, self._distinct.index(feature.of)]
            if feature.by is not None:
                found[:, column] *= self.known[systems, feature.by]
        return found


def features_of(
    problem: Problem,
    observations: xr.Dataset,
    p: np.ndarray,
    residuals: Spread | None = None,
    further: Iterable[Feature] = (),
) -> FeatureSet:
    """Return the features of a study at an estimate p (n_p,).

    Parameters
    ----------
    observations : Dataset
        With the coordinates of the observations.
    p : ndarray of shape (n_p,)
    residuals : Spread, optional
        Those of each entry over the observed systems, 0 and 1 by default. Tails and differences of
        systems are measured by them, so that a sensor that is off or noisy is neither.
    further : iterable of Feature
        Those of the law of a field (:mod:`popinv.inference.checks.field_features`).
    """
    known = _known(problem, observations)
    of_known, of_pairs = _of_known(problem, known), _of_pairs(problem, observations)
    return FeatureSet(
        [
            *_of_correlations(problem, observations),
            *_of_entries(problem, observations),
            *_of_size(problem, p, Spread.usual(problem) if residuals is None else residuals),
            *_of_law(problem),
            *further,
            *of_known,
            *of_pairs,
            *_of_faults(problem, observations, p),
        ],
        known.to_numpy(dtype=float),
    )


def _of_correlations(problem: Problem, observations: xr.Dataset) -> Iterator[Feature]:
    """Yield the correlations of the noise in time and between neighbours."""
    one, d_y = problem.noise.of_one.d_y, problem.data.shape[1]
    series = time_series(observations)
    series = np.arange(one)[:, None] if series is None else series[series[:, 0] < one]
    if problem.noise.own_places:
        # Observations of a system that follow each other.
        series = np.arange(one)[None]
    for lag in range(1, min(_LAGS, series.shape[1] - 2) + 1):
        ends = series[:, :-lag].ravel(), series[:, lag:].ravel()
        told = f"the noise is correlated in time (lag {lag})"
        yield _correlation(f"lag_{lag}", told, _IN_TIME, ends, one, d_y)
    if len(series) > 1:
        near = _neighbours(observations, series[:, 0])
        ends = tuple(series[end].ravel() for end in near)
        told = "the noise is correlated between neighbouring observations"
        yield _correlation("neighbours", told, _BETWEEN, ends, one, d_y)


def _correlation(
    name: str, told: str, remedy: str, ends: Sequence[np.ndarray], one: int, d_y: int
) -> Feature:
    firsts = range(0, d_y, one)
    a, b = (torch.from_numpy(np.concatenate([end + first for first in firsts])) for end in ends)

    def of(omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return (r[..., a] * r[..., b]).sum(dim=-1)

    return Feature("noise", name, told, remedy, "correlation", 0.4, of)


def _neighbours(observations: xr.Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each place and the nearest of the earlier places, or all places without neighbours."""
    axes = [name for name in place_coordinates(observations) if name != "observation_t"]
    later = np.arange(1, len(rows))
    if not axes:
        return later - 1, later
    at = np.column_stack([observations[name].values[rows] for name in axes]).astype(float)
    at = (at - at.mean(axis=0)) / np.maximum(at.std(axis=0), 1e-300)
    nearest = [int(np.linalg.norm(at[:k] - at[k], axis=1).argmin()) for k in later]
    return np.array(nearest), later


def _of_entries(problem: Problem, observations: xr.Dataset) -> Iterator[Feature]:
    """Yield deviations and offsets of the noise in groups of observations."""
    one, d_y = problem.noise.of_one.d_y, problem.data.shape[1]
    names = observation_names(observations)
    if problem.noise.own_places:
        names = [f"observation {number + 1} of a system" for number in range(one)]
    groups = np.array_split(np.arange(one), min(_GROUPS, one))
    for number, group in enumerate(groups, start=1):
        where = names[group[0]] + (f" to {names[group[-1]]}" if len(group) > 1 else "")
        entries = torch.from_numpy(np.concatenate([group + first for first in range(0, d_y, one)]))
        told = f"the standard deviation of the noise is different in {where}"
        of = partial(_square, entries)
        unit = "change of its logarithm"
        yield Feature("noise", f"deviation_{number}", told, _BY_ENTRY, unit, 0.5, of)
        told = f"the simulator is off in {where}"
        unit, of = "noise standard deviations", partial(_offset, entries)
        yield Feature("simulator", f"offset_{number}", told, _OFFSET, unit, 1.0, of)


def _square(
    entries: torch.Tensor, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    return _excess(r[..., entries]).sum(dim=-1) / 2


def _offset(
    entries: torch.Tensor, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    return r[..., entries].sum(dim=-1)


def _excess(r: torch.Tensor) -> torch.Tensor:
    """Return r^2 - 1 where an entry was observed, zero elsewhere."""
    return torch.where(r == 0, 0.0, r**2 - 1)


def _of_size(problem: Problem, p: np.ndarray, own: Spread) -> Iterator[Feature]:
    """Yield how the size of the noise depends on the signal and the system, and its tails."""
    signals = _signals(problem, p)
    size = signals.square().mean(dim=0).sqrt()
    size = torch.where(size > 0, size, 1.0)
    largest = size.max()

    def logs(g: torch.Tensor) -> torch.Tensor:
        return torch.log((g.abs() / largest).clamp(min=_LEAST_SIGNAL))

    if float(logs(signals).std()) > _LEAST_SPREAD:

        def growth(omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
            return (_excess(r) * logs(g)).sum(dim=-1)

        told = "the noise grows with the signal"
        yield Feature("noise", "growth", told, _GROWS, "power of the signal", 1.0, growth)

    def tails(omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        r = own.standardised(r)
        return torch.where(r == 0, 0.0, r**4 - 6 * r**2 + 3).sum(dim=-1) / 24

    told = "the noise has heavy tails"
    yield Feature("noise", "tails", told, _TAILS, "excess kurtosis", 2.0, tails)

    def systems(omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return _excess(own.standardised(r)).sum(dim=-1) ** 2 / 2

    told = "the standard deviation of the noise differs from system to system"
    yield Feature("noise", "systems", told, _BY_SYSTEM, "variance of its logarithm", 0.2, systems)


def _of_law(problem: Problem) -> Iterator[Feature]:
    """Yield correlations, skewness and kurtosis of the parameters."""
    names = varying_parameters(problem)
    for i, name in enumerate(names):
        for k in range(i):
            told = f"{names[k]} and {name} are correlated"
            of = partial(_product, i, k)
            label = f"correlation_{names[k]}_{name}"
            yield Feature("law", label, told, _CORRELATED, "correlation", 0.5, of)
    for i, name in enumerate(names):
        told = f"the law of {name} is skewed"
        of = partial(_third, i)
        yield Feature("law", f"skewness_{name}", told, _SHAPE, "skewness", 1.0, of)
        told = f"the law of {name} has other tails than a normal one"
        of = partial(_fourth, i)
        yield Feature("law", f"kurtosis_{name}", told, _SHAPE, "excess kurtosis", 1.5, of)
        told, unit = (
            f"the law of {name} has several groups",
            "relative loss of density at its centre",
        )
        yield Feature("law", f"groups_{name}", told, _SHAPE, unit, 0.7, partial(_hollow, i))


@dataclass(frozen=True)
class _Place:
    """A parameter that known quantities of the systems may move.

    Attributes
    ----------
    of, entry
        What its features are made of: a standard normal number, or the score of an entry of p.
    unit : str
        Unit of its change.
    large : float
        A large change.
    with_law : str
        Of which law a key is to be stated, if the study's does not take it.
    """

    name: str
    unit: str
    large: float
    of: OfDraws | None = None
    entry: int | None = None
    with_law: str = ""


def _places(problem: Problem) -> list[_Place]:
    """Return the parameters that vary and have features, or else the entries of the law.

    These are the unknowns of a field, and the means of many parameters.
    """
    law, unit = problem.law, "standard deviations of the law"
    names, other = varying_parameters(problem), ""
    own_shape = law.strongly_curved or law.component is not None
    if own_shape and len(law.parameters) == law.d_omega <= _PARAMETERS:
        # Each random number moves a parameter of its own, in a mixture that of each component.
        names, other = list(law.parameters), _OTHER_LAW
    if names:
        return [
            _Place(name, unit, 0.5, of=partial(random_number, i), with_law=other)
            for i, name in enumerate(names)
        ]
    if own_shape:
        return []
    field = law.wave_numbers is not None
    own = {*(range(len(law.names)) if field else law.mean_entries)}
    own -= {entry for entry, _ in law.coefficients}
    found = []
    for j in sorted(own & {*np.flatnonzero(problem.free).tolist()}):
        unit, large = ("its logarithm", 0.5) if law.positive[j] else ("it", problem.scale[j] / 2)
        found.append(_Place(law.names[j].removesuffix("_mean"), unit, large, entry=j))
    return found


def _of_known(problem: Problem, known: pd.DataFrame) -> Iterator[Feature]:
    """Yield the effects of what is known of the systems on the parameters."""
    for place in _places(problem):
        for column, of_known in enumerate(known.columns):
            # One of many times and values of inputs over time explains no parameter.
            if is_of_inputs(of_known) or not known.iloc[:, column].any():
                continue
            name = place.name
            yield Feature(
                "law",
                f"effect_{name}_{column + 1}",
                f"{name} depends on {of_known}",
                _KNOWN.format(parameter=name, column=of_known) + place.with_law,
                f"change in {place.unit}",
                place.large,
                place.of,
                by=column,
                entry=place.entry,
            )


def _of_pairs(problem: Problem, observations: xr.Dataset) -> Iterator[Feature]:
    """Yield what the parameters of systems with the same label, and of neighbours, share."""
    unused = unused_columns_of(observations)
    for place in _places(problem):
        name = place.name
        for number, column in enumerate(unused, start=1):
            labels = _groups(unused[column])
            if labels is None:
                continue
            remedy, groups = _LEVEL.format(parameter=name, column=column), labels.max() + 1
            if groups < _FEWEST_GROUPS or problem.law.wave_numbers is not None:
                others = ", ".join(f"{column}_{each}" for each in unused[column].unique() if each)
                remedy = _KNOWN.format(parameter=name, column=others) + ", without one of these"
            unit, large = "variance between them, as a share of the law's", 0.3
            if place.entry is not None:
                unit, large = f"variance of {place.unit} between them", place.large**2
            remedy += place.with_law
            yield Feature(
                "law",
                f"between_{name}_{number}",
                f"{name} differs between the labels of {column}",
                remedy,
                unit,
                large,
                place.of,
                pooled=SystemPairs.of_groups(labels),
                entry=place.entry,
            )
        if "row" in observations.coords:
            told = f"{name} of neighbouring systems in the order of the table is correlated"
            pairs = SystemPairs(np.argsort(observations["row"].values, kind="stable"))
            unit = "correlation" if place.entry is None else f"covariance of {place.unit}"
            large = 0.4 if place.entry is None else place.large**2
            label = f"order_{name}"
            yield Feature(
                "law", label, told, _ORDER, unit, large, place.of, pooled=pairs, entry=place.entry
            )


def _of_faults(problem: Problem, observations: xr.Dataset, p: np.ndarray) -> Iterator[Feature]:
    """Yield faults of the data: values at a limit, gaps that are no chance, and far systems."""
    for number, found in enumerate(values_at_limits(problem, observations), start=1):
        told, remedy = found.words
        unit, label = "of a system, beyond those of the model,", f"limit_{number}"
        yield Feature("simulator", label, told, remedy, unit, 0.5, of_data=found, fault=True)
    for number, rounded in enumerate(roundings(problem, observations, p), start=1):
        told, remedy = rounded.words
        unit, label = "of a system, beyond those of the model,", f"rounding_{number}"
        yield Feature("noise", label, told, remedy, unit, 0.5, of_data=rounded, fault=True)
    shares = 1 - problem.conditions.present.mean(axis=0)
    plain = problem.members == 1 and not problem.conditions.limited
    if plain and ((shares > 0) & (shares < 1)).any():
        signals = _signals(problem, p)
        spread = signals.std(dim=0)
        spread = torch.where(spread > 0, spread, torch.inf)
        gaps = partial(gaps_by_signal, torch.from_numpy(shares), signals.mean(dim=0), spread)
        told = "observations are missing where the signal is small, or large"
        unit = "change of the log odds of a gap by one deviation of the signal"
        yield Feature("simulator", "gaps", told, _GAPS, unit, 1.0, gaps, fault=True)
    names = tuple(map(str, system_names(observations) or range(len(problem.data))))
    if problem.members > 1 or len(names) != len(problem.data):
        return
    unit, largest = "standard deviations of all systems", Largest(names)
    both = Largest(names, squared=True)
    told = "an observation is far from its prediction: "
    far = largest_square
    yield Feature("noise", "far", told, _WITHOUT, unit, _FAR, far, pooled=largest, fault=True)
    for i, name in enumerate(varying_parameters(problem)):
        told, of = f"{name} is far from that of all others: ", partial(random_number, i)
        label = f"far_{name}"
        yield Feature("law", label, told, _WITHOUT, unit, _FAR, of, pooled=both, fault=True)


def _signals(problem: Problem, p: np.ndarray) -> torch.Tensor:
    """Return signals (n, d_y) of drawn systems at p."""
    alpha = problem.tensors(p)[0]
    rng = generator(problem.seed, f"{problem.stage}/features")
    omega = torch.from_numpy(rng.standard_normal((_SIGNALS, problem.law.d_omega)))
    with torch.no_grad():
        return problem.noise.mean(problem.signal(alpha, omega))


def varying_parameters(problem: Problem) -> list[str]:
    """Return the names of the entries of omega that have features; none if there are many.

    A law of free form, or with components, has its own skewness and kurtosis.
    """
    law, ending = problem.law, "_standard_deviation"
    if law.component is not None or law.strongly_curved or law.d_omega > _PARAMETERS:
        return []
    names = [name.removesuffix(ending) for name in law.names if name.endswith(ending)]
    return names if len(names) == law.d_omega else []


def _known(problem: Problem, observations: xr.Dataset) -> pd.DataFrame:
    """Return design, covariates and unused numbers of all systems (N, c), by their names.

    They are in units of their deviations; a missing number is the mean.
    """
    parts = problem.known.design, problem.known.covariates
    both = torch.cat([x[:, : x.shape[1] - problem.noise.own_places] for x in parts], dim=1).numpy()
    if problem.members > 1:
        # That of the single members of a group is not of the group.
        both = both[:, :0]
    given = [
        str(each)
        for part in ("design_name", "covariate_name")
        for each in (observations[part].values if part in observations else ())
    ][: both.shape[1]]
    given += [f"known quantity {column + 1}" for column in range(len(given), both.shape[1])]
    known = pd.DataFrame(both, columns=given)
    unused = unused_columns_of(observations)
    numbers = {name: numbers_in(unused[name]) for name in unused}
    more = pd.DataFrame({name: each for name, each in numbers.items() if each is not None})
    known = pd.concat([known, more], axis=1)
    spread = known.std(ddof=0).replace(0.0, np.inf)
    return ((known - known.mean()) / spread).fillna(0.0)


def _groups(cells: pd.Series) -> np.ndarray | None:
    """Return the group (N,) of each system, -1 without a label; None if cells name no groups.

    Numbers are labels too if they are whole and repeat, so that several systems have each.
    """
    numbers, (labels, names) = numbers_in(cells), labels_in(cells)
    if numbers is not None:
        whole = np.array_equal(numbers, np.round(numbers), equal_nan=True)
        if not whole or not _FEWEST_GROUPS <= len(names) <= len(cells) / 2:
            return None
    return labels


def random_number(i: int, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Return the random number omega_i of draws, (n, S)."""
    return omega[..., i]


def _product(i: int, k: int, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return omega[..., i] * omega[..., k]


def _third(i: int, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    w = omega[..., i]
    return (w**3 - 3 * w) / 6


def _fourth(i: int, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    w = omega[..., i]
    return (w**4 - 6 * w**2 + 3) / 24


def _hollow(i: int, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    mean = 5**-0.5
    return (mean - torch.exp(-2 * omega[..., i] ** 2)) / (1 - mean)
