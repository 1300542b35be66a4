"""A design: how many systems, observed where, and how well law and noise are then known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import ConfigError, DivergenceError
from popinv.planning.check import simulated_information
from popinv.planning.criteria import Criterion, CriterionName, standard_errors
from popinv.planning.experiment import REPORTED, SEARCHED, Experiment
from popinv.planning.search import Group, Search, regular_places

# Half the width of a 95 % interval, in standard errors.
_NORMAL = 1.959963984540054
# Largest number of systems that a wished width may take.
_MOST_SYSTEMS = 10_000_000
# Systems with which the places are searched before their number is known.
_PROVISIONAL = 1000


@dataclass(frozen=True)
class Costs:
    """The costs of a design: N (system + observation * places * replicates).

    Attributes
    ----------
    system, observation : float
        The cost of a system, and of each observation of it.
    """

    system: float = 1.0
    observation: float = 0.0

    def of(self, places: int, replicates: int) -> float:
        """Return the cost of one system."""
        return self.system + self.observation * places * replicates


@dataclass(frozen=True)
class Width:
    """A wished width of 95 % intervals.

    Attributes
    ----------
    value : float
    relative : bool
        Whether it is a share of the value that would be true.
    """

    value: float
    relative: bool = False


@dataclass(frozen=True)
class Wishes:
    """The wishes that a design has to meet.

    Attributes
    ----------
    sensors, systems, replicates : tuple of int
        The numbers that are allowed; each combination is a row of the table. No systems: their
        number follows from the budget or from the width.
    criterion : {"D", "A", "systems"}
    wanted : tuple of str
        The parameters that are to be known well; by default all.
    apart : int
        Groups of systems whose places may differ.
    budget : float or None
        The largest cost.
    width : Width or None
        The wished width of the intervals of the wanted parameters.
    checked : int
        Systems that are simulated to check the prediction; 0 leaves this out.
    """

    sensors: tuple[int, ...]
    systems: tuple[int, ...] = ()
    replicates: tuple[int, ...] = (1,)
    criterion: CriterionName = "D"
    wanted: tuple[str, ...] = ()
    apart: int = 1
    costs: Costs = Costs()
    budget: float | None = None
    width: Width | None = None
    checked: int = 2000


@dataclass(frozen=True)
class DesignRow:
    """One combination of numbers, with its best design.

    Attributes
    ----------
    groups : tuple of Group
    value : float
        The criterion: the logarithm of a typical standard error.
    errors : ndarray of shape (n_p,)
        Standard errors, unconstrained.
    told : ndarray of shape (n_p, n_p)
        The information of all systems, without what is known before.
    shares : ndarray of shape (d_z,) or None
        Of the criterion ``systems``: the shares of variance that parameters keep.
    """

    sensors: int
    replicates: int
    groups: tuple[Group, ...]
    cost: float
    value: float
    errors: np.ndarray
    told: np.ndarray
    shares: np.ndarray | None = None

    @property
    def systems(self) -> int:
        """Number of systems."""
        return sum(group.systems for group in self.groups)


@dataclass(frozen=True)
class SimulatedErrors:
    """The standard errors by simulation of the likelihood's scores.

    Attributes
    ----------
    errors, regular : ndarray of shape (n_p,)
        Of the chosen design, and of the regular one.
    precision : float
        Largest relative error of a standard error, which the number of simulated systems leaves.
    reason : str
        Why there are none; empty otherwise.
    """

    errors: np.ndarray | None = None
    regular: np.ndarray | None = None
    precision: float = np.nan
    reason: str = ""


@dataclass(frozen=True)
class BestDesigns:
    """The best designs for some numbers of systems and places, and the chosen one.

    Attributes
    ----------
    rows : tuple of DesignRow
    chosen : DesignRow
    regular : DesignRow
        As many systems and places as chosen, the places at equal distances, the arms equally often.
    checked : SimulatedErrors
    """

    experiment: Experiment
    wishes: Wishes
    criterion: Criterion
    rows: tuple[DesignRow, ...]
    chosen: DesignRow
    regular: DesignRow
    checked: SimulatedErrors

    @property
    def errors(self) -> np.ndarray:
        """Standard errors of the chosen design: by simulation, or else by linearisation."""
        return self.chosen.errors if self.checked.errors is None else self.checked.errors

    def value_of(self, row: DesignRow, systems: float) -> float:
        """Return the criterion, linearised, with the places of a row and a number of systems."""
        whole = self.experiment.before + systems / row.systems * row.told
        return float(self.criterion.of_information(whole))


def intervals(experiment: Experiment, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (n_p,) of 95 % intervals for standard errors of unconstrained parameters."""
    lower, upper = np.empty(len(errors)), np.empty(len(errors))
    for i, error in enumerate(errors):
        for ends, sign in ((lower, -1.0), (upper, 1.0)):
            moved = experiment.p.copy()
            # A parameter that is not determined may have any value.
            moved[i] += sign * _NORMAL * min(float(error), 1e3)
            with np.errstate(over="ignore"):
                ends[i] = experiment.natural(moved)[i] if error > 0 else np.nan
        if error == 0:
            lower[i] = upper[i] = experiment.natural(experiment.p)[i]
    return lower, upper


def designed(
    experiment: Experiment, wishes: Wishes, said: Callable[[str], object] | None = None
) -> BestDesigns:
    """Return the best designs for what is asked.

    Raises
    ------
    ConfigError
        If no design meets the wishes; the message says why.
    """
    say = said if said is not None else lambda text: None
    _check_wishes(experiment, wishes)
    criterion = experiment.criterion(experiment.p, wishes.criterion, wishes.wanted)
    _check_width(experiment, wishes, criterion)
    points = [experiment.p, *experiment.draws]
    each = SEARCHED if len(points) == 1 else max(16, SEARCHED // len(points) * 2)
    scenarios = [
        experiment.scenario(
            p, replace(criterion, scale=experiment.scale(p)) if i else criterion, each
        )
        for i, p in enumerate(points)
    ]
    reported = experiment.scenario(experiment.p, criterion, REPORTED)
    rows: list[DesignRow] = []
    for replicates in wishes.replicates:
        search = Search(scenarios, replicates)
        exact = Search([reported], replicates)
        rows += _rows(experiment, wishes, search, exact, replicates, say)
    chosen = _chosen(experiment, wishes, criterion, rows)
    exact = Search([reported], chosen.replicates)
    say("simulating the chosen design")
    found, reason = _simulated(experiment, wishes, chosen)
    if found is not None and wishes.width is not None and not wishes.systems:
        systems = fewest_systems(experiment, wishes, criterion, chosen.groups, found.each)
        if systems >= _MOST_SYSTEMS:
            raise _too_wide(experiment, criterion)
        chosen = _row(experiment, wishes, exact, _sized(chosen.groups, systems), chosen.replicates)
        if wishes.budget is not None and chosen.cost > wishes.budget * (1 + 1e-12):
            raise ConfigError(
                f"budget: got {wishes.budget:g}, but the wished width takes {systems} systems by "
                f"the simulation, which cost {chosen.cost:g}; allow a larger width or budget"
            )
    regular = _row(experiment, wishes, exact, _regular(experiment, chosen), chosen.replicates)
    checked = SimulatedErrors(reason=reason)
    if found is not None:
        say("simulating the regular design")
        other, reason = _simulated(experiment, wishes, regular)
        checked = SimulatedErrors(
            found.errors(experiment, criterion, chosen.groups),
            None if other is None else other.errors(experiment, criterion, regular.groups),
            found.precision(criterion),
            reason,
        )
    return BestDesigns(experiment, wishes, criterion, tuple(rows), chosen, regular, checked)


@dataclass(frozen=True)
class _Simulated:
    """What one system of each group tells, by simulation, and the relative error of this."""

    each: list[np.ndarray]
    spread: list[np.ndarray]

    def errors(
        self, experiment: Experiment, criterion: Criterion, groups: Sequence[Group]
    ) -> np.ndarray:
        """Return the standard errors (n_p,) of a number of systems of each group."""
        whole = experiment.before + sum(
            group.systems * each for group, each in zip(groups, self.each, strict=True)
        )
        return _errors(whole, experiment.problem.free, criterion.scale)

    def precision(self, criterion: Criterion) -> float:
        """Return the largest relative error of a standard error that is wanted."""
        found = [np.nanmax(each[criterion.wanted], initial=0.0) for each in self.spread]
        return float(max(found)) / 2


def _simulated(
    experiment: Experiment, wishes: Wishes, row: DesignRow
) -> tuple[_Simulated | None, str]:
    """Return the informations of a design by simulation, or the reason why there are none."""
    if not wishes.checked or wishes.criterion == "systems":
        return None, "it was left out"
    try:
        found = simulated_information(experiment, row.groups, row.replicates, wishes.checked)
    except DivergenceError as error:
        return None, str(error)
    return _Simulated(*found), ""


def _check_wishes(experiment: Experiment, wishes: Wishes) -> None:
    most = experiment.count
    for name, numbers in (("sensors", wishes.sensors), ("replicates", wishes.replicates)):
        if not numbers or min(numbers) < 1:
            raise ConfigError(f"{name}: got {list(numbers)}, but each must be at least 1")
    if max(wishes.sensors) > most:
        raise ConfigError(
            f"sensors: got {max(wishes.sensors)}, but there are {most} candidates; state more "
            "candidates, or choose fewer"
        )
    if wishes.systems and min(wishes.systems) < 1:
        raise ConfigError(f"systems: got {min(wishes.systems)}, but it must be at least 1")
    free = not wishes.systems and wishes.budget is None and wishes.width is None
    if free and wishes.criterion != "systems":
        raise ConfigError(
            "systems: state how many systems there are, or a 'budget', or a wished 'width' of the "
            "intervals"
        )
    if wishes.width is not None and wishes.criterion == "systems":
        raise ConfigError(
            "width: is about parameters of law and noise; choose criterion D or A, or leave it out"
        )
    if wishes.width is not None and not 0 < wishes.width.value < np.inf:
        raise ConfigError(f"width: got {wishes.width.value:g}, but it must be positive")
    if wishes.budget is not None and not 0 < wishes.budget < np.inf:
        raise ConfigError(f"budget: got {wishes.budget:g}, but it must be positive and finite")
    if not (
        0 <= wishes.costs.system < np.inf
        and 0 <= wishes.costs.observation < np.inf
        and wishes.costs.of(1, 1) > 0
    ):
        raise ConfigError(
            f"costs: got {wishes.costs.system:g} for a system and {wishes.costs.observation:g} for "
            "an observation, but neither may be negative, and one must be positive"
        )


def _check_width(experiment: Experiment, wishes: Wishes, criterion: Criterion) -> None:
    """Refuse a share of a value that is zero."""
    if wishes.width is None or not wishes.width.relative:
        return
    natural = experiment.natural(experiment.p)
    if zero := [experiment.names[i] for i in criterion.wanted if natural[i] == 0]:
        raise ConfigError(
            f"width: is a share of the value, but the value of {', '.join(zero)} is zero; give "
            "the width in the unit of the parameter, or name other parameters"
        )


def _rows(
    experiment: Experiment,
    wishes: Wishes,
    search: Search,
    exact: Search,
    replicates: int,
    say: Callable[[str], object],
) -> Iterator[DesignRow]:
    """Yield the best design for each number of places and systems."""
    last: tuple[Group, ...] | None = None
    for sensors in sorted(set(wishes.sensors)):
        for systems in _systems(wishes, sensors, replicates):
            say(f"{sensors} sensors, {systems} systems")
            start = None if last is None else _sized(last, systems)
            if start is not None and len(start) < search.arms * wishes.apart:
                # Groups that an earlier design left out may belong to this one.
                start = None
            groups = search.best(sensors, systems, wishes.apart, start)
            if not np.isfinite(search.value(groups)):
                raise ConfigError(
                    f"sensors: each choice of {sensors} candidates repeats an observation, as "
                    "two of them have the same place and the same noise; state other candidates, "
                    "or choose fewer"
                )
            last = groups
            row = _row(experiment, wishes, exact, groups, replicates)
            if wishes.width is not None and not wishes.systems:
                row = _wide(experiment, wishes, exact, row)
            yield row


def _systems(wishes: Wishes, sensors: int, replicates: int) -> Sequence[int]:
    each = wishes.costs.of(sensors, replicates)
    if wishes.systems:
        return sorted(set(wishes.systems))
    if wishes.budget is not None:
        return [int(wishes.budget // each)] if wishes.budget >= each else []
    return [_PROVISIONAL]


def _sized(groups: Sequence[Group], systems: int) -> tuple[Group, ...]:
    """Return groups of the same shares of another number of systems."""
    total = sum(group.systems for group in groups)
    exact = np.array([group.systems * systems / total for group in groups])
    sizes = np.floor(exact).astype(int)
    for i in np.argsort(sizes - exact, kind="stable")[: systems - int(sizes.sum())]:
        sizes[i] += 1
    return tuple(replace(g, systems=int(n)) for g, n in zip(groups, sizes, strict=True))


def _merged(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return groups of which no two observe the same."""
    sizes: dict[tuple[int, tuple[int, ...]], int] = {}
    for group in groups:
        key = group.arm, tuple(group.places)
        sizes[key] = sizes.get(key, 0) + group.systems
    return tuple(Group(arm, places, systems) for (arm, places), systems in sizes.items())


def _row(
    experiment: Experiment,
    wishes: Wishes,
    exact: Search,
    groups: tuple[Group, ...],
    replicates: int,
) -> DesignRow:
    """Return a design with the errors that the linearisation predicts."""
    scenario = exact.scenarios[0]
    groups = _merged(groups)
    criterion, sensors = scenario.criterion, len(groups[0].places)
    systems = sum(group.systems for group in groups)
    cost = systems * wishes.costs.of(sensors, replicates)
    told, shares = np.zeros_like(scenario.before), None
    for group in groups:
        places = np.array([group.places])
        information = scenario.arms[group.arm].information(places, replicates)[0]
        told = told + group.systems * information
    value = exact.value(groups)
    if exact.of_systems:
        shares = exact.total(groups)[0]
    errors = _errors(scenario.before + told, criterion.free, criterion.scale)
    return DesignRow(sensors, replicates, groups, cost, value, errors, told, shares)


def _errors(whole: np.ndarray, free: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return standard errors (n_p,); infinite for what no observation depends on.

    The noise of a sensor that is not chosen moves nothing. Places that repeat an observation have
    no information (NaN).
    """
    if not np.isfinite(whole).all():
        return np.where(free, np.inf, 0.0)
    seen = free & (np.diag(whole) > 0)
    errors = standard_errors(whole, seen, scale)
    errors[free & ~seen] = np.inf
    return errors


def _wide(experiment: Experiment, wishes: Wishes, exact: Search, row: DesignRow) -> DesignRow:
    """Return the design with the fewest systems that reach the wished width."""
    scenario = exact.scenarios[0]
    informations = [
        scenario.arms[g.arm].information(np.array([g.places]), row.replicates)[0]
        for g in row.groups
    ]
    systems = fewest_systems(experiment, wishes, scenario.criterion, row.groups, informations)
    groups = _sized(row.groups, systems)
    return _row(experiment, wishes, exact, groups, row.replicates)


def fewest_systems(
    experiment: Experiment,
    wishes: Wishes,
    criterion: Criterion,
    groups: Sequence[Group],
    informations: Sequence[np.ndarray],
) -> int:
    """Return the fewest systems with which all wanted intervals have the wished width.

    The groups keep their shares. 10 million if more are needed.
    """
    assert wishes.width is not None
    total = sum(group.systems for group in groups)
    shares = [group.systems / total for group in groups]
    mean = sum(share * each for share, each in zip(shares, informations, strict=True))
    natural = np.abs(experiment.natural(experiment.p))[criterion.wanted]
    wished = wishes.width.value * (natural if wishes.width.relative else 1.0)

    def reached(systems: int) -> bool:
        whole = experiment.before + systems * mean
        errors = _errors(whole, criterion.free, criterion.scale)
        lower, upper = intervals(experiment, errors)
        return bool(((upper - lower)[criterion.wanted] <= wished).all())

    low, high = 0, 1
    while not reached(high):
        low, high = high, high * 2
        if high > _MOST_SYSTEMS:
            return _MOST_SYSTEMS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return max(high, len(groups))


def _chosen(
    experiment: Experiment, wishes: Wishes, criterion: Criterion, rows: Sequence[DesignRow]
) -> DesignRow:
    """Return the row that is best under the budget, or cheapest with the wished width."""
    if not rows:
        each = min(
            wishes.costs.of(m, r) for m, r in itertools.product(wishes.sensors, wishes.replicates)
        )
        raise ConfigError(
            f"budget: got {wishes.budget:g}, but one system with its observations costs {each:g}"
        )
    allowed = list(rows)
    if wishes.budget is not None:
        allowed = [row for row in rows if row.cost <= wishes.budget * (1 + 1e-12)]
        if not allowed:
            cheapest = min(row.cost for row in rows)
            raise ConfigError(
                f"budget: got {wishes.budget:g}, but the cheapest of these designs costs "
                f"{cheapest:g}; allow fewer systems, sensors or replicates"
            )
    if wishes.width is not None:
        reached = [row for row in allowed if _reaches(experiment, wishes, criterion, row)]
        if not reached:
            raise _too_wide(experiment, criterion)
        return min(reached, key=lambda row: (row.cost, row.value))
    return min(allowed, key=lambda row: (row.value, row.cost))


def _too_wide(experiment: Experiment, criterion: Criterion) -> ConfigError:
    names = ", ".join(experiment.names[i] for i in criterion.wanted)
    return ConfigError(
        f"width: none of these designs gives intervals so narrow for {names}; allow more sensors, "
        "systems or replicates, or a larger width"
    )


def _reaches(experiment: Experiment, wishes: Wishes, criterion: Criterion, row: DesignRow) -> bool:
    if row.systems >= _MOST_SYSTEMS:
        return False
    assert wishes.width is not None
    natural = np.abs(experiment.natural(experiment.p))[criterion.wanted]
    wished = wishes.width.value * (natural if wishes.width.relative else 1.0)
    lower, upper = intervals(experiment, row.errors)
    return bool(((upper - lower)[criterion.wanted] <= wished * (1 + 1e-9)).all())


def _regular(experiment: Experiment, chosen: DesignRow) -> tuple[Group, ...]:
    places = regular_places(experiment.count, chosen.sensors)
    arms = len(experiment.arms)
    one = tuple(Group(i, places, 1) for i in range(min(arms, chosen.systems)))
    return _sized(one, chosen.systems)
