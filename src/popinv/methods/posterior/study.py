"""Results of the draws of all systems' posteriors: intervals, calibration, and one table.

In most forward models, each parameter has a meaning. The parameters of a random field are
coefficients of its expansion, which users do not read. The posterior of a field is therefore
reported by its values at a few places, in the unit of the field, and by the parameters beside it.
Chains run in the coefficients; the draws are converted for the report.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import kstest

from popinv.forward.base import Parameter
from popinv.forward.datasets import parameter_coordinate
from popinv.forward.fields import Field
from popinv.forward.section import ForwardSection
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.problem import Problem
from popinv.methods.posterior.chains import LARGEST_R_HAT, effective_sample_size, split_r_hat
from popinv.methods.posterior.references import surprise_p_values
from popinv.methods.posterior.sampling import Posteriors, sample_posteriors
from popinv.population.laws.fields_section import FieldLaw
from popinv.population.laws.section import LawSection
from popinv.population.members import is_grouped, observed_members
from popinv.population.observe import member_labels, table_order
from popinv.population.synthetic_observed import true_parameters
from popinv.store.variables import variable
from popinv.threads import fixed_threads

if TYPE_CHECKING:
    from popinv.methods.posterior.method import Posterior

LEVEL = 0.95
# Places along a line, and along each side of a square.
_PLACES = {1: 5, 2: 3}
_COLUMNS = {
    "mean": "mean",
    "deviation": "standard deviation",
    "lower": "2.5 %",
    "median": "median",
    "upper": "97.5 %",
}


@dataclass(frozen=True)
class Quantities:
    """The k quantities that are reported of a system.

    The coefficients are the parameters of the forward model, if they are not the quantities
    themselves. The basis (modes, places) belongs to the field at its places.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    coefficients: tuple[str, ...] = ()
    field: Field | None = None
    basis: np.ndarray | None = None

    def of(self, z: np.ndarray) -> np.ndarray:
        """Return the quantities (..., k) of parameters (..., d_z)."""
        if self.field is None or self.basis is None:
            return z
        rows = z.reshape(-1, z.shape[-1])
        beside = rows[:, len(self.field.parameters) :]
        told = np.concatenate([self.field.evaluate(rows, self.basis), beside], axis=1)
        return told.reshape(*z.shape[:-1], -1)


def told_quantities(forward: ForwardSection, law: LawSection) -> Quantities:
    """Return the forward model's parameters, or places of its field and the other parameters."""
    parameters = forward.parameters()
    field = forward.random_field() if isinstance(law, FieldLaw) else None
    if field is None:
        return Quantities(*_described(parameters))
    side = (np.arange(_PLACES[field.dimension]) + 0.5) / _PLACES[field.dimension]
    points = np.array(list(itertools.product(side, repeat=field.dimension)))
    # A field has no unit: it is the logarithm of a quantity relative to its usual value.
    places = (
        " ".join(f"{axis}={x:.2g}" for axis, x in zip("xy", point, strict=False))
        for point in points
    )
    values = [Parameter(f"{field.quantity} at {place}") for place in places]
    beside = parameters[len(field.parameters) :]
    coefficients = tuple(parameter.name for parameter in parameters)
    return Quantities(*_described([*values, *beside]), coefficients, field, field.basis(points))


def _described(parameters: Sequence[Parameter]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(p.name for p in parameters), tuple(p.units for p in parameters)


def varying(population: np.ndarray) -> np.ndarray:
    """Return which parameters differ between systems, a mask (d_z,), from draws (m, d_z).

    All systems may share some parameters under a law, such as the mean of a field: these are known
    once the population is known, and single systems add nothing.
    """
    size = np.maximum(np.abs(population).max(axis=0), np.finfo(float).tiny)
    return np.ptp(population, axis=0) > 1e-12 * size


def posterior_dataset(
    posteriors: Posteriors, told: Quantities, most: int, truth: np.ndarray | None = None
) -> xr.Dataset:
    """Return mean, deviation and 95 % interval of each system's quantities, and some draws.

    At most ``most`` draws of each system are kept, from all chains. If the systems' true parameters
    (N, d_z) are given, the ranks of the true quantities among the draws are added.

    The end of an interval at a share p is at place p (S + 1) of the S sorted draws, where a further
    independent draw lies below with probability p. The usual place, p (S - 1) + 1, is further
    inside: with a hundred draws its 95 % intervals hold 93 %.
    """
    drawn = [told.of(z) for z in posteriors.draws]
    each = [values.reshape(-1, values.shape[2]) for values in drawn]
    ends = [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]
    quantiles = [np.quantile(z, ends, axis=0, method="weibull") for z in each]
    lower, median, upper = np.stack(quantiles, axis=1)
    kept = min(most, *map(len, each))
    rows = [kept_rows(len(z), kept) for z in each]
    chosen = [z.reshape(-1, z.shape[2])[r] for z, r in zip(posteriors.draws, rows, strict=True)]
    mean = np.array([z.mean(axis=0) for z in each])
    deviation = np.array([z.std(axis=0, ddof=1) for z in each])
    dims = ("system", "parameter")
    note = "of what is told of the system, given its observation"
    units_of = {"parameter_units": ", ".join(told.units)}
    r_hat, effective = posteriors.r_hat, posteriors.effective
    if told.coefficients:
        r_hat = np.array([split_r_hat(values) for values in drawn])
        effective = np.array([effective_sample_size(values) for values in drawn])
    dataset = xr.Dataset(
        {
            "mean": variable(dims, mean, f"mean {note}", **units_of),
            "deviation": variable(dims, deviation, f"standard deviation {note}"),
            "lower": variable(dims, lower, f"lower end of the 95 % interval {note}"),
            "median": variable(dims, median, f"median {note}"),
            "upper": variable(dims, upper, f"upper end of the 95 % interval {note}"),
            "r_hat": variable(dims, r_hat, "split R-hat"),
            "effective": variable(dims, effective, "effective sample size"),
            "moves": variable("system", posteriors.moves, "moves of each chain"),
            "largest_r_hat": variable(
                "system", posteriors.r_hat.max(axis=1), "largest R-hat of the chains' coordinates"
            ),
            "least_effective": variable(
                "system",
                posteriors.effective.min(axis=1),
                "smallest effective sample size of the chains' coordinates",
            ),
        },
        coords=parameter_coordinate(list(told.names), "parameter", "what is told of a system"),
    )
    z = np.stack(chosen, axis=1)
    if told.coefficients:
        dataset["value"] = variable(("draw", *dims), told.of(z), f"draws {note}")
        dataset["z"] = variable(
            ("draw", "system", "coefficient"), z, "draws of the system's parameters"
        )
        dataset = dataset.assign_coords(
            parameter_coordinate(
                list(told.coefficients), "coefficient", "parameter of the forward model"
            )
        )
    else:
        dataset["z"] = variable(("draw", *dims), z, f"draws {note}")
    if truth is not None:
        pairs = zip(each, told.of(truth), strict=True)
        rank = np.array([((z < own).sum(axis=0) + 0.5) / (len(z) + 1) for z, own in pairs])
        dataset["rank"] = variable(dims, rank, "share of the draws that lie below the truth")
    return dataset


def kept_rows(count: int, kept: int) -> np.ndarray:
    """Return which of ``count`` draws are kept, evenly."""
    return np.linspace(0, count - 1, kept).round().astype(int)


def sampled(
    problem: Problem,
    answer: xr.Dataset,
    observations: xr.Dataset,
    asked: Posterior,
    told: Quantities,
    truth: np.ndarray | None = None,
) -> tuple[xr.Dataset, Posteriors]:
    """Sample the posterior of every system, and return its quantities, and all draws.

    Parameters
    ----------
    problem : Problem
        Its stage addresses the draws.
    answer, observations : Dataset
        The population and the observations of the study.
    asked : Posterior
        The settings.
    told : Quantities
        The quantities that are reported of a system.
    truth : ndarray of shape (n, d_z), optional
        The true parameters of the systems, or of the members of all groups, which are reported.

    Returns
    -------
    dataset : Dataset
        As of :func:`posterior_dataset`, with ``surprise_p_value`` and the systems' names.
    posteriors : Posteriors
    """
    p = estimate_of(answer)
    with fixed_threads():
        posteriors = sample_posteriors(
            problem, p, asked.chains, asked.effective, asked.most_moves, laws_of(answer, asked)
        )
        surprise = surprise_p_values(problem, p, posteriors.least_misfit)
    return reported(problem, observations, posteriors, surprise, asked, told, truth)


def laws_of(answer: xr.Dataset, asked: Posterior) -> np.ndarray | None:
    """Return draws (B, n_p) about the estimate; None if law and noise are taken as known."""
    if asked.law_and_noise == "fixed":
        return None
    return np.concatenate([answer[f"{part}_draws"].values for part in ("alpha", "gamma")], axis=1)


def reported(
    problem: Problem,
    observations: xr.Dataset,
    posteriors: Posteriors,
    surprise: np.ndarray,
    asked: Posterior,
    told: Quantities,
    truth: np.ndarray | None = None,
) -> tuple[xr.Dataset, Posteriors]:
    """Return the quantities of all systems, with their names, and their draws.

    The members of groups are told one by one. ``surprise`` (N,) holds the p-values; the rest is as
    for :func:`sampled`.
    """
    ids = None
    if "system_id" in observations.coords:
        ids = observations["system_id"].values[: len(problem.data)]
    if problem.members > 1:
        # Each member is reported by itself, with the surprise of its group.
        group, member = np.nonzero(problem.present_members)
        posteriors = members_apart(posteriors, group, member, problem.members)
        surprise = surprise[group]
        ids = np.array(member_labels(observations)).reshape(-1, problem.members)[group, member]
    result = posterior_dataset(posteriors, told, asked.kept_draws, truth)
    result["surprise_p_value"] = variable(
        "system", surprise, "share of the population's systems that are as far out"
    )
    if ids is not None:
        result = result.assign_coords(system_id=variable("system", ids, "name of the system"))
    return result, posteriors


def told_order(observations: xr.Dataset) -> np.ndarray:
    """Return the numbers of the systems, or of the members of groups, in the order of the table.

    They are numbers along ``system`` of what :func:`reported` returns.
    """
    order = table_order(observations)
    if not is_grouped(observations):
        return order
    group = np.nonzero(observed_members(observations))[0]
    return np.argsort(np.argsort(order)[group], kind="stable")


def reported_truth(problem: Problem, truth: xr.Dataset) -> np.ndarray:
    """Return the true parameters of the systems, or of the members of groups, (n, d)."""
    every = true_parameters(truth, problem.law, len(problem.data))
    return np.asarray(every.reshape(len(every), problem.members, -1)[problem.present_members])


def members_apart(
    posteriors: Posteriors, group: np.ndarray, member: np.ndarray, members: int
) -> Posteriors:
    """Return the draws of some members of groups, one after the other, as those of systems.

    Parameters
    ----------
    posteriors : Posteriors
        Of the groups, with the parameters of all members side by side.
    group, member : ndarray of int, shape (m,)
        The group of each member, and its place.
    members : int
        Number of places of a group.
    """
    width = posteriors.r_hat.shape[1] // members

    def own(array: np.ndarray, place: int) -> np.ndarray:
        return array[..., place * width : (place + 1) * width]

    pairs = list(zip(group, member, strict=True))
    return replace(
        posteriors,
        draws=[own(posteriors.draws[n], m) for n, m in pairs],
        places=[posteriors.places[n] for n, _ in pairs] if posteriors.places else [],
        r_hat=np.array([own(posteriors.r_hat[n], m) for n, m in pairs]),
        effective=np.array([own(posteriors.effective[n], m) for n, m in pairs]),
        moves=posteriors.moves[group],
        least_misfit=posteriors.least_misfit[group],
    )


def coverage_metrics(posterior: xr.Dataset, population: np.ndarray, wanted: int) -> dict[str, Any]:
    """Return the gain in precision on single systems, and the calibration of their posteriors.

    If the posteriors are right, the truth's rank among a system's draws is uniform over the
    systems, and central intervals of every level hold the truth that often. The population (m, k)
    holds the quantities of draws of the recovered law, and ``wanted`` is the effective sample size.
    For each parameter that varies, ``narrowing_<name>`` is the mean posterior standard deviation
    over the population's; ``shared`` names the parameters that do not vary; ``r_hat_max``,
    ``r_hat_99``, ``effective_min`` and ``effective_01`` are the worst and the worst but 1 %;
    ``systems_at_the_cap`` stopped at the cap on the moves; ``moves_median`` and ``moves_max`` count
    the moves of each chain of a system. With ranks there is also ``coverage_<name>`` of 95 %
    intervals, ``rank_distance_<name>``, the largest distance of the ranks' distribution from the
    uniform one, ``rank_p_value_<name>`` of Kolmogorov and Smirnov's test of it, and over all
    parameters ``coverage``, ``coverage_80`` and ``coverage_50``.
    """
    own = varying(population)
    names = [str(name) for name in posterior["parameter"].values]
    own_names = [n.replace(" ", "_") for n, o in zip(names, own, strict=True) if o]
    deviation = posterior["deviation"].values[:, own].mean(axis=0)
    narrowing = deviation / population[:, own].std(axis=0, ddof=1)
    r_hat, effective = (posterior[name].values[:, own] for name in ("r_hat", "effective"))
    ranked = "rank" in posterior
    moves = posterior["moves"].values
    # The coordinates in which chains run decide when they are finished.
    short = (posterior["least_effective"].values < wanted) | (
        posterior["largest_r_hat"].values > LARGEST_R_HAT
    )
    by_rank = _rank_metrics(own_names, posterior["rank"].values[:, own]) if ranked else {}
    return {
        "systems": posterior.sizes["system"],
        "level": LEVEL,
        "shared": ", ".join(n for n, o in zip(names, own, strict=True) if not o) or "none",
        **{f"narrowing_{n}": float(v) for n, v in zip(own_names, narrowing, strict=True)},
        "r_hat_max": float(r_hat.max()),
        "r_hat_99": float(np.quantile(r_hat, 0.99)),
        "effective_min": float(effective.min()),
        "effective_01": float(np.quantile(effective, 0.01)),
        "systems_at_the_cap": int(short.sum()),
        "moves_median": float(np.median(moves)),
        "moves_max": int(moves.max()),
        **by_rank,
    }


def statement(metrics: Mapping[str, Any]) -> str:
    """Return in words how well single systems are known, and how often the intervals are right.

    The metrics come from :func:`coverage_metrics`, with ``surprising_systems`` and the number
    expected.
    """
    start = "narrowing_"
    narrowing = {k.removeprefix(start): v for k, v in metrics.items() if k.startswith(start)}
    said = []
    if narrowing:
        best, worst = (pick(narrowing, key=narrowing.__getitem__) for pick in (min, max))
        said.append(
            f"given its observation, {best.replace('_', ' ')} of a system is known to "
            f"{narrowing[best]:.2g} of the population's deviation"
        )
        if worst != best:
            said.append(f"{worst.replace('_', ' ')} to {narrowing[worst]:.2g}")
    if "coverage" in metrics:
        said.append(f"the 95 % intervals hold {metrics['coverage']:.1%} of the truth")
    said.append(
        f"{metrics['surprising_systems']} of {metrics['systems']} systems are unlike the "
        f"population, where {metrics['surprising_systems_expected']:.3g} are expected"
    )
    return "; ".join(said)


def _rank_metrics(names: list[str], rank: np.ndarray) -> dict[str, float]:
    """Return coverage and uniformity of the truth's ranks, shape (N, names)."""
    off = np.abs(rank - 0.5)
    by_name: dict[str, float] = {}
    for name, of_name, ranks in zip(names, off.T, rank.T, strict=True):
        test = kstest(ranks, "uniform")
        by_name |= {
            f"coverage_{name}": float((of_name <= LEVEL / 2).mean()),
            f"rank_distance_{name}": float(test.statistic),
            f"rank_p_value_{name}": float(test.pvalue),
        }
    return {
        **by_name,
        "coverage": float((off <= LEVEL / 2).mean()),
        **{f"coverage_{level}": float((off <= level / 200).mean()) for level in (50, 80)},
    }


def systems_table(posterior: xr.Dataset, units: list[str], own: np.ndarray) -> pd.DataFrame:
    """Return one row for each system, with units in the names of the columns.

    The dataset comes from :func:`posterior_dataset`, with ``surprise_p_value`` (system,), and
    ``system_id`` (system,), or the coordinate ``system``, if the user named the systems. A quantity
    without a unit has the unit "1". The smallest effective size is taken over the
    quantities that differ between systems, the mask ``own`` (k,).
    """
    names = [str(name) for name in posterior["parameter"].values]
    # Without names, the second are numbers from 0.
    ids = posterior["system_id" if "system_id" in posterior.coords else "system"].values
    columns: dict[str, np.ndarray] = {"system": ids}
    for i, (name, unit) in enumerate(zip(names, units, strict=True)):
        ending = "" if unit in ("", "1") else f" [{unit}]"
        for key, told in _COLUMNS.items():
            columns[f"{name} {told}{ending}"] = posterior[key].values[:, i]
    columns["surprise p-value"] = posterior["surprise_p_value"].values
    columns["smallest effective sample size"] = posterior["effective"].values[:, own].min(axis=1)
    columns["largest R-hat"] = posterior["r_hat"].values[:, own].max(axis=1)
    return pd.DataFrame(columns)
