"""The observations of a study together with those of systems that join it.

The added systems follow the systems that are there, whose numbers, and with these their draws, stay
the same. The answer is tested on the last systems, as it was before. Covariates are centred by the
means of the first systems, so that the parameters keep their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from popinv.errors import DataError
from popinv.inference.estimators.choice import words
from popinv.observation_files.added_tables import Table, with_added
from popinv.observation_files.fit import IN_MEMORY, InMemory
from popinv.observation_files.section import FileObservations
from popinv.observation_files.trees import tree_of
from popinv.population.model import Model
from popinv.population.observe import system_names
from popinv.population.stages.import_observations import observations_of_file, units_of_columns
from popinv.sections.messages import shown
from popinv.sections.refusals import REFUSED

_HELDOUT, _TOLD = "_heldout", 8


def read_additions(
    model: Model,
    section: FileObservations,
    observations: xr.Dataset,
    file: str,
    *,
    seed: int,
    given: InMemory | None = None,
    inputs: Table | None = None,
) -> xr.Dataset:
    """Return the systems of a file that join a study, in the form of the study's observations.

    Parameters
    ----------
    section : FileObservations
        It says how the study's own file is read. The other file has the same form.
    observations : Dataset
        All systems of the study so far.
    given : DataFrame or Dataset, optional
        The systems in memory, in the place of the file.
    inputs : Table, optional
        Their table of inputs over time, if the file does not hold them.

    Raises
    ------
    DataError
        If the file cannot be read, has other columns or another unit, or holds a system that is in
        the study.
    """
    name = file if given is None else IN_MEMORY
    stated = {
        "random simulator": ("of a random simulator", model.forward.is_random()),
        "crossed levels": ("with crossed levels", bool(model.law.level_columns().crossed)),
    }
    for trait, (told, has) in stated.items():
        if has:
            why = REFUSED["observations.additions", trait]
            raise DataError(f"{name}: systems cannot be added to a study {told}: {why}")
    _check_times(model, section, name, file if given is None else given)
    added = observations_of_file(
        model.forward,
        model.law,
        model.noise,
        section,
        file,
        seed=seed,
        given=given,
        population=False,
        units=units_of_columns(observations),
        inputs=inputs,
        tree=tree_of(observations),
    )
    added = _of_width(added, observations, name)
    _check_columns(added, observations, name)
    if "covariate_centre" in observations:
        centre = observations["covariate_centre"]
        shifted = added["covariate"] + added["covariate_centre"] - centre
        if "member_id" in added.coords:
            # A member that a group lacks has the mean.
            shifted = shifted.where(added["member_id"] != "", 0.0)
        added["covariate"] = shifted
        added["covariate_centre"] = centre
    _check_new(added, observations, name)
    return added


def joined(observations: xr.Dataset, added: xr.Dataset) -> xr.Dataset:
    """Return the observations with added systems, which come last.

    The attribute ``added`` holds the number of systems of each addition.
    """
    before = observations.sizes["system"]
    if "row" in observations.coords:
        numbers = int(observations["row"].max()) + 1 + np.arange(added.sizes["system"])
        attrs = observations["row"].attrs
        added = added.assign_coords(row=("system", numbers, attrs))
    names = [
        str(n)
        for n, each in observations.variables.items()
        if "system" in each.dims and n in added.variables
    ]
    whole = observations.drop_dims(["system", "heldout_system"], errors="ignore")
    rows = xr.concat(
        [xr.Dataset({n: each.variables[n] for n in names}) for each in (observations, added)],
        dim="system",
        combine_attrs="override",
    )
    count = rows.sizes["system"]
    last = rows.isel(system=slice(count - _tested(observations, count), None))
    last = last.rename(system="heldout_system")
    for name in names:
        both = {name: rows[name].variable}
        if (heldout := f"{name}{_HELDOUT}") in observations.variables:
            attrs = observations.variables[heldout].attrs
            both[heldout] = last[name].variable.copy(deep=False)
            both[heldout].attrs = dict(attrs)
        whole = whole.assign_coords(both) if name in observations.coords else whole.assign(both)
    sizes = [*added_sizes(observations), count - before]
    return whole.assign_attrs({**observations.attrs, "added": sizes})


def not_by_likelihood(file: str, estimator: str) -> str:
    """Return why no systems are added to an answer by another estimator than the likelihood."""
    return (
        f"{file}: systems are added to an answer by the likelihood, and the answer of this study "
        f"is by the {words(estimator)}. Put the rows into the study's own file, and run it again."
    )


def added_sizes(observations: xr.Dataset) -> list[int]:
    """Return the number of systems of each addition to a study."""
    return [int(count) for count in np.atleast_1d(observations.attrs.get("added", []))]


def _tested(observations: xr.Dataset, count: int) -> int:
    """Return how many of ``count`` systems the answer is tested on."""
    before, tested = observations.sizes["system"], observations.sizes.get("heldout_system", 0)
    # Few systems are all tested, fold by fold; of many systems the same share.
    return count if tested == before else round(tested / before * count)


def _check_times(model: Model, section: FileObservations, name: str, table: object) -> None:
    """Refuse times at which the surrogate of a user's own simulator was not trained."""
    joint = with_added(model.forward, section, table, None).stated_times() or []
    own = model.forward.stated_times() or []
    if len(joint) > len(own):
        raise DataError(
            f"{name}: the forward model is not observed at the times "
            f"{shown(sorted(set(joint) - set(own))[:_TOLD])}, as the surrogate has learned the "
            "study's own. Leave these rows out, or put all rows into the study's own file, and run "
            "it again"
        )


def _of_width(added: xr.Dataset, observations: xr.Dataset, file: str) -> xr.Dataset:
    """Return added systems with as many replicates as the study has, of each member of a group."""
    members = added.sizes.get("member", 1)
    have, want = (each.sizes["observation"] // members for each in (added, observations))
    if have > want:
        raise DataError(
            f"{file}: holds systems with more replicates than any in the study; put the rows into "
            "the study's own file, and run it again"
        )
    if have == want:
        return added
    # The replicates of a member stand one after the other. Those that lack are a missing value.
    place = np.full((members, want), -1)
    place[:, :have] = np.arange(members * have).reshape(members, have)
    padded = added.drop_vars([n for n in added.coords if "observation" in added[n].dims])
    padded = padded.pad(observation=(0, 1), constant_values=np.nan)
    return padded.isel(observation=place.ravel())


def _check_columns(added: xr.Dataset, observations: xr.Dataset, file: str) -> None:
    """Refuse systems whose columns have other names, or another order."""
    if "column" not in observations.coords or "column" not in added.coords:
        return
    have, want = ([str(n) for n in each["column"].values] for each in (added, observations))
    if have != want:
        first = next(i for i, pair in enumerate(zip(have, want, strict=True)) if len(set(pair)) > 1)
        raise DataError(
            f"{file}: its observations are {_listed(have)}, but those of the study are "
            f"{_listed(want)}, in this order; the first that differs is '{have[first]}' in the "
            f"place of '{want[first]}'. Give the columns the names and the order of the study."
        )


def _check_new(added: xr.Dataset, observations: xr.Dataset, file: str) -> None:
    """Refuse systems that are in the study, by their names or by their values."""
    for name in observations.data_vars:
        if "system" in observations[name].dims and name not in added:
            raise DataError(f"{file}: has no '{name}', which the systems of the study have")
    for name in added.data_vars:
        if "system" in added[name].dims and name not in observations:
            raise DataError(f"{file}: has '{name}', which the systems of the study do not have")
    there, new = system_names(observations), system_names(added)
    if (there is None) != (new is None):
        raise DataError(
            f"{file}: its systems have {'no ' if new is None else ''}names, but those of the study "
            f"have {'none' if there is None else 'names'}"
        )
    if there is not None and new is not None:
        known = set(there)
        if twice := [name for name in new if name in known]:
            there_already = f"{_listed(twice)} {'is' if len(twice) == 1 else 'are'} already in the"
            if "member_id" in observations.coords:
                raise DataError(
                    f"{file}: {there_already} study, and further members would change a group; put "
                    "them into the study's own file, and run it again. Whole groups are added"
                )
            raise DataError(
                f"{file}: {there_already} study; leave out systems that are there, and give other "
                "systems other names"
            )
        if known != set(map(str, range(len(known)))):
            return
    # Numbers alone do not tell whether a system is there.
    y, own = (each["y"].values for each in (added, observations))
    seen = {row.tobytes(): number for number, row in enumerate(np.ascontiguousarray(own))}
    for number, row in enumerate(np.ascontiguousarray(y)):
        if (same := seen.get(row.tobytes())) is not None:
            raise DataError(
                f"{file}: system {number + 1} has exactly the observations of system {same} of the "
                "study, and would count twice; leave it out"
            )


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(f"'{name}'" for name in names[:_TOLD])
    return some if len(names) <= _TOLD else f"{some}, ... ({len(names)})"
