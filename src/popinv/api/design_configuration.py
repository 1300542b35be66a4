"""The configuration of a study with a chosen design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popinv.api.design_sources import refuse_other_spacing
from popinv.api.functions import OwnFunction
from popinv.errors import ConfigError
from popinv.forward.external.section import ExternalSection
from popinv.forward.section import ForwardSection
from popinv.planning.design import BestDesigns
from popinv.population.model import Model
from popinv.population.noise.terms import Noise
from popinv.sections.base import Section, plain

# Systems that are held out, unless the study states how many.
_HELDOUT = 100


def configuration_of(
    design: BestDesigns, model: Model, sections: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """Return the configuration of a synthetic study with the chosen design.

    Its truth is what the design took for true. With a file of observations in the place of
    ``observations``, it is the study of the experiment itself.

    Raises
    ------
    ConfigError
        If a configuration cannot state the design.
    """
    chosen, experiment = design.chosen, design.experiment
    places = {group.places for group in chosen.groups}
    if len(places) > 1:
        raise ConfigError(
            "groups of systems have places of their own, which a synthetic study cannot have; the "
            "observations of the experiment are a long table, with a row for each observation"
        )
    own = dict(sections)
    observations = dict(own.pop("observations", {}))
    known = dict(observations.get("known") or {})
    known |= _given_quantities(design, model, known) | _chosen_quantities(design)
    names = (*model.forward.design_names(), *model.law.covariate_names())
    if lacking := [each for each in names if each not in known]:
        raise ConfigError(
            f"the systems of the experiment have known quantities ({', '.join(lacking)}) whose "
            "distribution the configuration does not state; state it as 'observations.known'"
        )
    alpha, gamma = np.split(experiment.p, [experiment.problem.d_alpha])
    law = dict(
        zip(experiment.problem.law.names, experiment.problem.law.to_natural(alpha), strict=True)
    )
    own_places = next(iter(places))
    times = model.forward.observed(experiment.problem.seed).coordinates[:, -1]
    refuse_other_spacing(
        experiment.problem.noise,
        times,
        times[list(own_places)],
        "the chosen times",
        "no synthetic study has these times alone",
    )
    forward = _observed_at(model.forward, own_places, experiment.problem.seed)
    section: dict[str, Any] = {
        "forward": _stated(forward),
        "law": _stated(model.law),
        "noise": _of_places(_stated(model.noise), experiment.problem.noise, own_places),
        "observations": {
            "count": chosen.systems,
            "heldout": observations.get("heldout", _HELDOUT),
            **({"replicates": chosen.replicates} if chosen.replicates > 1 else {}),
            **({"known": _tidy(known)} if known else {}),
            "truth": {
                "law": _of_law(plain(model.law)["start"], law),
                "noise": _of_noise(
                    model.noise.start_values(), experiment.problem.noise, gamma, own_places
                ),
            },
        },
        **own,
    }
    return {"studies": {name: section}}


def _observed_at(forward: ForwardSection, places: Sequence[int], seed: int) -> ForwardSection:
    """Return the forward model with the chosen candidates alone."""
    described = forward.observed(seed)
    if len(places) == len(described):
        return forward
    if isinstance(forward, OwnFunction):
        raise ConfigError("a function in memory is not stored in a configuration")
    rows = described.coordinates[list(places)]
    if isinstance(forward, ExternalSection):
        keys = dict(plain(forward)["observations"])
        if forward.observations.described_times() is None or forward.observations.count > 1:
            raise ConfigError(
                "the simulator returns all its observations at once; let it return the chosen ones "
                "alone, and list them in 'forward.observations'"
            )
        if not forward.takes_times() and keys.get("simulated_times") is None:
            keys["simulated_times"] = forward.observations.asked_times()
        keys["times"] = rows[:, -1].tolist()
        changes: dict[str, Any] = {"observations": keys}
    elif "sensors" in type(forward).model_fields:
        if described.coordinate_names[-1] == "t":
            raise ConfigError(
                f"'{forward.kind}' observes each sensor at all times, so that no single times can "
                "be chosen in a configuration"
            )
        points = rows[:, 0].tolist() if rows.shape[1] == 1 else rows.tolist()
        changes = {"sensors": {"positions": points}}
    else:
        raise ConfigError(f"'{forward.kind}' always gives all its observations")
    return type(forward).model_validate({**plain(forward), **changes})


def _given_quantities(
    design: BestDesigns, model: Model, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the design of the systems of a file or of a finished study, to be taken in turns."""
    columns = design.experiment.arms[0].known.design.numpy().T
    return {
        name: {"values": [_rounded(value) for value in column]}
        for name, column in zip(model.forward.design_names(), columns, strict=True)
        if name not in known
    }


def _chosen_quantities(design: BestDesigns) -> dict[str, Any]:
    """Return the chosen known quantities as systems take them in turns."""
    arms = design.experiment.arms
    names = list(arms[0].values)
    if not names:
        return {}
    groups = design.chosen.groups
    divisor = int(np.gcd.reduce([group.systems for group in groups]))
    found: dict[str, list[float]] = {name: [] for name in names}
    for group in groups:
        for name in names:
            found[name] += [arms[group.arm].values[name]] * (group.systems // divisor)
    return {name: {"values": values} for name, values in found.items()}


def _of_law(start: Mapping[str, Any], flat: Mapping[str, float]) -> dict[str, Any]:
    """Return a truth of the law: the keys of its start, then correlations and coefficients."""
    used: set[str] = set()
    found = _nested(start, flat, used)
    return found | {n: _rounded(value) for n, value in flat.items() if n not in used}


def _nested(
    start: Mapping[str, Any], flat: Mapping[str, float], used: set[str], prefix: str = ""
) -> dict[str, Any]:
    """Return values by name in the form of ``law.start``, and add their names to ``used``."""
    found: dict[str, Any] = {}
    for key, value in start.items():
        if isinstance(value, Mapping):
            inner = prefix if key == "beside" else f"{prefix}{key}_"
            found[key] = _nested(value, flat, used, inner)
        elif f"{prefix}{key}" in flat:
            found[key] = _rounded(flat[f"{prefix}{key}"])
            used.add(f"{prefix}{key}")
        else:
            raise ConfigError(f"the law has no parameter '{prefix}{key}' that a truth could state")
    return found


def _of_noise(
    start: Mapping[str, Any], noise: Noise, gamma: np.ndarray, places: Sequence[int]
) -> dict[str, Any]:
    """Return the noise in the form of ``noise.start``, at the chosen places."""
    natural = dict(zip(noise.names, noise.to_natural(gamma), strict=True))
    found: dict[str, Any] = {}
    for key in start:
        if key in natural:
            found[key] = _rounded(natural[key])
            continue
        each = [value for name, value in natural.items() if name.startswith(f"{key}_")]
        if len(each) != noise.of_one.d_y:
            raise ConfigError(
                f"'noise.{key}' has {len(each)} values for {noise.of_one.d_y} places; state the "
                "noise of the chosen places yourself"
            )
        found[key] = [_rounded(each[i]) for i in places]
    return found


def _of_places(section: dict[str, Any], noise: Noise, places: Sequence[int]) -> dict[str, Any]:
    """Return the section of the noise with the chosen entries of each list of all places."""
    start = section.get("start")
    if isinstance(start, dict):
        section["start"] = {
            key: [value[i] for i in places]
            if isinstance(value, list) and len(value) == noise.of_one.d_y
            else value
            for key, value in start.items()
        }
    return section


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")


def _stated(section: Section) -> dict[str, Any]:
    """Return a section without the keys that have their defaults."""
    found: dict[str, Any] = _tidy(section.model_dump(mode="json", exclude_defaults=True))
    sensors = found.get("sensors")
    if isinstance(sensors, dict) and "positions" in sensors:
        points = sensors["positions"]
        alone = all(len(point) == 1 for point in points)
        found["sensors"] = {"positions": [p[0] for p in points] if alone else points}
    return found


def _tidy(section: Any) -> Any:
    """Return a section without keys that hold nothing."""
    if isinstance(section, Mapping):
        kept = {key: _tidy(value) for key, value in section.items()}
        return {key: value for key, value in kept.items() if value not in (None, [], {}, "")}
    return section
