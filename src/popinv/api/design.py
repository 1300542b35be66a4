"""Designs of experiments on populations: ``popinv.design`` and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from popinv.api.design_configuration import configuration_of
from popinv.api.design_sources import experiment_of_result, experiment_of_study
from popinv.api.fit import load
from popinv.api.result import Result
from popinv.charts.description import Sheet
from popinv.charts.saving import save
from popinv.config.loading import load_file
from popinv.config.study import Study
from popinv.errors import ConfigError, require_known
from popinv.figures.designs import design_figures
from popinv.planning.criteria import CriterionName
from popinv.planning.design import BestDesigns, Costs, DesignRow, Width, Wishes, designed, intervals
from popinv.population.model import Model
from popinv.sections.base import plain
from popinv.store.whole_files import write_text
from popinv.threads import fixed_threads

if TYPE_CHECKING:
    from os import PathLike

# The criterion in words.
_TYPICAL = {
    "D": "typical standard error",
    "A": "root mean square standard error",
    "systems": "share of the standard deviation of a system's parameters that is left",
}


@dataclass(frozen=True)
class PlannedDesign:
    """A design of an experiment on a population.

    It comes from :func:`popinv.design`.

    Attributes
    ----------
    design : BestDesigns
        The search: its experiment, all rows, the chosen row, and the regular design.
    model : Model
        Forward model at all candidates, law and noise.
    sections : mapping
        The other sections of the study.
    name : str
        Name of the study.
    """

    design: BestDesigns
    model: Model
    sections: Mapping[str, Any]
    name: str

    @property
    def chosen(self) -> DesignRow:
        """The chosen row of the table."""
        return self.design.chosen

    @property
    def places(self) -> list[list[str]]:
        """The chosen places of each group of systems, in words."""
        names = self.design.experiment.places
        return [[names[i] for i in group.places] for group in self.chosen.groups]

    def groups(self) -> pd.DataFrame:
        """Return one row for each group of systems: its number of systems and what it observes.

        Returns
        -------
        DataFrame
            ``systems``, the chosen known quantities, and ``places``.
        """
        rows = []
        for group, places in zip(self.chosen.groups, self.places, strict=True):
            arm = self.design.experiment.arms[group.arm]
            rows.append({"systems": group.systems, **arm.values, "places": "; ".join(places)})
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="group"))

    def table(self) -> pd.DataFrame:
        """Return one row for each combination of numbers, with its best design.

        Returns
        -------
        DataFrame
            ``systems``, ``sensors``, ``replicates``, ``cost``, the criterion, and the predicted
            standard error of each wanted parameter, unconstrained: that of a logarithm is relative.
        """
        names, criterion = self.design.experiment.names, self.design.criterion
        found = []
        for row in self.design.rows:
            told: dict[str, Any] = {
                "systems": row.systems,
                "sensors": row.sensors,
                "replicates": row.replicates,
                "cost": row.cost,
                _TYPICAL[criterion.name]: float(np.exp(row.value)),
            }
            if row.shares is not None:
                every = self.design.experiment.parameters
                told |= {every[i]: float(np.sqrt(row.shares[i])) for i in criterion.wanted}
            else:
                told |= {names[i]: float(row.errors[i]) for i in criterion.wanted}
            found.append(told)
        return pd.DataFrame(found)

    def summary(self) -> pd.DataFrame:
        """Return how well each parameter of law and noise will be known.

        Returns
        -------
        DataFrame
            The index holds the names; ``value`` would be true, ``lower`` and ``upper`` are the ends
            of a 95 % interval about it, in natural values. ``standard_error`` is that of the
            unconstrained parameter: of a logarithm, it is relative. ``linearised`` is the
            prediction of the search, and ``regular`` the standard error with the same number of
            regular places. All are infinite for what the design does not determine.
        """
        design, experiment = self.design, self.design.experiment
        lower, upper = intervals(experiment, design.errors)
        regular = design.checked.regular
        return pd.DataFrame(
            {
                "value": experiment.natural(experiment.p),
                "standard_error": design.errors,
                "lower": lower,
                "upper": upper,
                "linearised": design.chosen.errors,
                "regular": design.regular.errors if regular is None else regular,
            },
            index=pd.Index(experiment.names, name="parameter"),
        )

    @property
    def notes(self) -> list[str]:
        """What the reader must know: what is not determined, and how far the prediction goes."""
        design, names = self.design, self.design.experiment.names
        found = []
        if design.criterion.name == "systems":
            return ["Law and noise count as known; the parameters of single systems are unknown."]
        if not design.wishes.wanted and (left := design.experiment.left_out(design.criterion)):
            names_left = ", ".join(left)
            found.append(f"The criterion leaves out the noise of single sensors: {names_left}.")
        unknown = [n for n, e in zip(names, design.errors, strict=True) if np.isinf(e)]
        if unknown:
            found.append(f"This design does not determine {', '.join(unknown)}.")
        # Errors of means count in standard deviations of the population.
        most = np.where(design.experiment.problem.logarithmic, 0.2, 0.5)
        relative = design.errors / design.criterion.scale
        vague = [
            n for n, v in zip(names, (relative > most) & (relative < np.inf), strict=True) if v
        ]
        if vague:
            found.append(
                f"This design hardly determines {', '.join(vague)}. The normal approximation of "
                "these errors is rough, and too small."
            )
        if design.checked.reason:
            found.append(
                "The standard errors are those of the linearised simulator. A simulation did not "
                f"check them: {design.checked.reason}."
            )
        else:
            found.append(
                f"The standard errors are from {design.wishes.checked} simulated systems, with an "
                f"error of up to {100 * design.checked.precision:.0f} %."
            )
        sized = design.wishes.width is not None and not design.wishes.systems
        if sized and not design.checked.reason and len(design.rows) > 1:
            found.append(
                "The number of systems is that of the simulation. The table of all numbers has "
                "those of the linearisation."
            )
        found.append("Standard errors of positive parameters are relative: 0.1 is 10 %.")
        if design.experiment.systems_before:
            found.append(
                f"The {design.experiment.systems_before} systems of the finished study count."
            )
        return found

    def configuration(self) -> dict[str, Any]:
        """Return the configuration of a synthetic study with this design, which can be run.

        Raises
        ------
        ConfigError
            If a configuration cannot state the design, such as groups with places of their own.
        """
        return configuration_of(self.design, self.model, self.sections, f"{self.name}_design")

    def figures(self) -> dict[str, Sheet]:
        """Return the figures by name: ``criterion``, ``places`` and ``errors``."""
        return design_figures(self.design, self.model)

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write tables, figures and the configuration into a folder, and return the files."""
        to = new_folder(folder)
        written = []
        for name, frame in (
            ("parameters", self.summary()),
            ("table", self.table()),
            ("groups", self.groups()),
        ):
            path = to / f"{name}.csv"
            write_text(path, frame.to_csv(index=frame.index.name is not None, float_format="%.6g"))
            written.append(path)
        for name, sheet in self.figures().items():
            path = to / f"{name}.png"
            save(sheet, path)
            written.append(path)
        try:
            text = as_yaml(self.configuration())
        except ConfigError:
            # ``told`` gives the reason.
            return written
        path = to / "study.yaml"
        write_text(path, text)
        return [*written, path]

    def told(self) -> str:
        """Return the design in words, for a terminal."""
        row, wishes = self.chosen, self.design.wishes
        cost = f", cost {row.cost:g}" if wishes.costs != Costs() else ""
        times = f", {row.replicates} times each" if row.replicates > 1 else ""
        lines = [f"{row.systems} systems, {row.sensors} observations{times}{cost}:"]
        for group, places in zip(row.groups, self.places, strict=True):
            arm = self.design.experiment.arms[group.arm].name
            which = f"{group.systems} systems" + (f" with {arm}" if arm else "")
            shown = which if len(row.groups) > 1 else arm
            lines.append((f"  {shown}: " if shown else "  ") + "; ".join(places))
        parts = ["\n".join(lines)]
        if len(self.design.rows) > 1:
            parts.append(self.table().to_string(index=False, float_format="%.4g"))
        if self.design.criterion.name != "systems":
            table = self.summary().rename(columns={"standard_error": "standard error"})
            parts.append(table.to_string(float_format="%.4g"))
        else:
            parts.append(self._told_shares())
        parts.append("\n".join(self.notes))
        try:
            self.configuration()
        except ConfigError as error:
            parts.append(f"No configuration was made: {error}")
        return "\n\n".join(parts)

    def _told_shares(self) -> str:
        shares = self.chosen.shares
        assert shares is not None
        regular = self.design.regular.shares
        assert regular is not None
        names = self.design.experiment.parameters
        lines = ["Standard deviation of a parameter that is left, as a share of the population's:"]
        for i in self.design.criterion.wanted:
            left, other = np.sqrt(shares[i]), np.sqrt(regular[i])
            lines.append(f"  {names[i]}: {left:.3g} (regular places: {other:.3g})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.told()


def new_folder(folder: str | PathLike[str]) -> Path:
    """Return a folder, which is made if there is none.

    Raises
    ------
    ConfigError
        If there is a file of this name.
    """
    to = Path(folder)
    if to.exists() and not to.is_dir():
        raise ConfigError(f"{to}: is a file; name a folder for the design")
    to.mkdir(parents=True, exist_ok=True)
    return to


def as_yaml(mapping: Mapping[str, Any]) -> str:
    """Return a configuration as YAML, in the order of its keys."""
    import yaml

    return yaml.safe_dump(
        dict(mapping), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def design(
    source: Result | str | PathLike[str] | Study,
    *,
    sensors: int | Sequence[int] | None = None,
    systems: int | Sequence[int] | None = None,
    replicates: int | Sequence[int] = 1,
    parameters: str | Sequence[str] = (),
    criterion: CriterionName = "D",
    candidates: Sequence[Any] | None = None,
    choices: Mapping[str, Sequence[float]] | None = None,
    groups: int = 1,
    budget: float | None = None,
    cost_of_system: float = 1.0,
    cost_of_observation: float = 0.0,
    width: float | str | None = None,
    robust: bool = False,
    previous: bool = True,
    checked: int = 2000,
    study: str | None = None,
    simulator: Callable[..., Any] | None = None,
    progress: bool = True,
) -> PlannedDesign:
    r"""Choose where to observe how many systems, so that law and noise are known best.

    With N systems observed at the places e, the information about p = (alpha, gamma) is
    :math:`M = M_0 + N I(e)`, and :math:`M^{-1}` the covariance of the estimate.
    :mod:`popinv.planning.information` has I, and :mod:`popinv.planning.criteria` the criteria.

    Parameters
    ----------
    source : Result, path or Study
        A configuration of a study that has not been run; or the result, or the folder of results,
        of a finished study ("what next?"): its answer counts as true, and its information counts.
    sensors : int or sequence of int, optional
        Number of places, or times, of each system, out of the candidates; by default all.
        Several numbers are compared.
    systems : int or sequence of int, optional
        Number of systems. It may be left out with a budget or a width.
    replicates : int or sequence of int
        Number of observations of each system at each place.
    parameters : str or sequence of str
        What is to be known: parameters of law and noise (``noise_...``), or a parameter of the
        simulator, which stands for its law. By default all.
    criterion : {"D", "A", "systems"}
        D makes the confidence ellipsoid small, A the mean square error, and ``systems`` the
        variance of the parameters of single systems.
    candidates : sequence, optional
        Times, or positions of sensors; by default those of the study.
    choices : mapping of str to sequence of float, optional
        Candidates for entries of the design, such as ``{"dose": [1, 2, 4]}``. The systems are
        divided among all combinations.
    groups : int
        Number of groups of systems that may have places of their own.
    budget, cost_of_system, cost_of_observation : float
        The largest cost of N systems with m observations, ``N (cost_of_system +
        cost_of_observation m)``.
    width : float or str, optional
        The wished width of the 95 % intervals, in the unit of each parameter, or ``"20 %"`` of its
        value. The design with the lowest cost that reaches it is chosen.
    robust : bool
        Whether to average over plausible truths: about the start by ``law.spread``, or over the
        uncertainty of a finished study's answer.
    previous : bool
        Whether a finished study's information counts.
    checked : int
        Number of simulated systems that check the prediction by the scores of the likelihood; 0
        leaves this out.
    study : str, optional
        The study, if the configuration has several.
    simulator : callable, optional
        The function of a result that was loaded from a folder, if it was not stored.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    PlannedDesign

    Raises
    ------
    ConfigError
        If no design meets the wishes, or the study's model has no information that is predicted:
        levels, noise of kind ``full``, laws of free form, limits.

    Examples
    --------
    >>> import popinv
    >>> plan = popinv.design("mine.yaml", sensors=10, systems=200)  # doctest: +SKIP
    >>> plan.summary()  # doctest: +SKIP
    """
    with fixed_threads(), tqdm(disable=not progress, bar_format="{desc}", leave=False) as bar:
        bar.set_description_str("preparing the simulator")
        experiment, model, sections, name = _sources(
            source, candidates, choices, robust, previous, study, simulator
        )
        wishes = Wishes(
            sensors=_counts("sensors", sensors, experiment.count),
            systems=() if systems is None else _counts("systems", systems, 1),
            replicates=_counts("replicates", replicates, 1),
            criterion=criterion,
            wanted=(parameters,) if isinstance(parameters, str) else tuple(parameters),
            apart=groups,
            costs=Costs(cost_of_system, cost_of_observation),
            budget=budget,
            width=wished_width(width),
            checked=checked,
        )
        found = designed(experiment, wishes, bar.set_description_str)
    return PlannedDesign(found, model, sections, name)


def _sources(
    source: Any,
    candidates: Sequence[Any] | None,
    choices: Mapping[str, Sequence[float]] | None,
    robust: bool,
    previous: bool,
    study: str | None,
    simulator: Callable[..., Any] | None,
) -> tuple[Any, Model, Mapping[str, Any], str]:
    """Return experiment, model, the other sections of the study, and its name."""
    if isinstance(source, Study):
        experiment, model = experiment_of_study(source, candidates, choices, robust)
        return experiment, model, _others(source), "study"
    if not isinstance(source, Result):
        path = Path(source)
        if path.is_dir():
            source = load(path, simulator=simulator)
        else:
            config = load_file(path)
            names = list(config.studies)
            if study is None and len(names) > 1:
                raise ConfigError(
                    f"{path}: has the studies {', '.join(names)}; say which one (--study NAME)"
                )
            chosen = names[0] if study is None else study
            require_known(chosen, names, f"study: got '{chosen}'")
            own = config.studies[chosen]
            experiment, model = experiment_of_study(own, candidates, choices, robust)
            return experiment, model, _others(own), chosen
    experiment, model = experiment_of_result(source, candidates, choices, robust, previous)
    return experiment, model, {}, source.name or "study"


def _others(study: Study) -> dict[str, Any]:
    """Return the sections of a study that a design leaves as they are, without defaults."""
    kept = study.model_dump(mode="json", exclude_unset=True)
    names = ("active_learning", "surrogate", "polish", "estimator", "seed")
    found = {name: kept[name] for name in names if kept.get(name) is not None}
    if study.is_synthetic():
        section = plain(study.observations)
        found["observations"] = {name: section[name] for name in ("heldout", "known")}
    return found


def _counts(name: str, given: int | Sequence[int] | None, default: int) -> tuple[int, ...]:
    if given is None:
        return (default,)
    every = [given] if isinstance(given, int | np.integer) else list(given)
    if not every or any(int(each) != each for each in every):
        raise ConfigError(f"{name}: got {given}, but whole numbers are needed")
    return tuple(int(each) for each in every)


def wished_width(given: float | str | None) -> Width | None:
    """Return the width of ``0.1`` or ``"20 %"``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if given is None:
        return None
    text = str(given).strip()
    relative = text.endswith("%")
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise ConfigError(
            f"width: got '{given}', but it is a number such as 0.1, or a share such as '20 %'"
        ) from None
    return Width(value / 100 if relative else value, relative)
