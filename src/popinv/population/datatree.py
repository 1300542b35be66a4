"""A result as a DataTree of xarray, in the form that ArviZ reads.

Everything is on the natural scale, with units, and every dimension has a coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv import __version__
from popinv.forward.datasets import place_coordinates, replicates_of, time_series
from popinv.forward.section import ForwardSection
from popinv.observation_files.limits import VARIABLES
from popinv.population.limits import limits_in
from popinv.population.observe import table_order
from popinv.population.units import Described
from popinv.store.variables import variable

ABOUT_ESTIMATE = (
    "draws of the normal law of the estimate's error, in unconstrained coordinates; a "
    "confidence distribution, and no posterior of a prior"
)
"""What the draws of a result are."""

_OBSERVATION = "observation_"
# Coordinates that only count the entries of an observation.
_COUNTS = {"observation_entry"}


def parameter_draws(
    draws: np.ndarray, described: Mapping[str, Described], meaning: str
) -> xr.Dataset:
    """Return draws of the parameters as variables with the dimensions chain and draw.

    Parameters
    ----------
    draws : ndarray of shape (B, n) or (chains, B, n)
        On the natural scale.
    described : mapping of str to Described
        The parameters, in order.
    meaning : str
        Description of the draws.
    """
    names = [name.replace(" ", "_") for name in described]
    draws = draws if draws.ndim == 3 else draws[None]
    each = zip(names, np.moveaxis(draws, 2, 0), described.values(), strict=True)
    return xr.Dataset(
        {
            name: variable(("chain", "draw"), column, told.long_name, told.units)
            for name, column, told in each
        },
        coords=draw_coordinates(*draws.shape[:2]),
        attrs={"draws": meaning},
    )


def draw_coordinates(chains: int, count: int) -> dict[str, xr.Variable]:
    """Return the coordinates of draws of several chains."""
    return {
        "chain": variable("chain", np.arange(chains), "chain"),
        "draw": variable("draw", np.arange(count), "draw"),
    }


def observed_data(observations: xr.Dataset, forward: ForwardSection) -> xr.Dataset:
    """Return the observations of all systems by system, place and time.

    Parameters
    ----------
    observations : Dataset
        With ``y`` (system, observation).
    forward : ForwardSection
        States whether they are logarithms, which are undone here.
    """
    return _Form.of(observations, forward).dataset(observations["y"].values)


def predictive_data(
    samples: np.ndarray, observations: xr.Dataset, forward: ForwardSection
) -> xr.Dataset:
    """Return observations of the fitted model in the same form.

    Their shape is (draws, system, observation), or (chains, draws, system, observation).
    """
    form = _Form.of(observations, forward)
    samples = samples if samples.ndim == 4 else samples[None]
    return form.dataset(samples, ("chain", "draw"), draw_coordinates(*samples.shape[:2]))


def pointwise(log_likelihood: np.ndarray, observations: xr.Dataset, name: str) -> xr.Dataset:
    """Return log likelihoods of the systems (chains, draws, system) as a variable of a name."""
    order, systems = _systems(observations)
    return xr.Dataset(
        {
            name: variable(
                ("chain", "draw", "system"),
                log_likelihood[..., order],
                "log likelihood of the system's observations",
            )
        },
        coords={**draw_coordinates(*log_likelihood.shape[:2]), "system": systems},
    )


def constant_data(observations: xr.Dataset, forward: ForwardSection) -> xr.Dataset:
    """Return design, covariates, noise scales and limits of the systems, as far as there are any.

    The limits have the form of the observations, and apply to the observed values before a
    logarithm is taken.
    """
    order, systems = _systems(observations)
    columns = {}
    for name, dim in (("design", "design_name"), ("covariate", "covariate_name")):
        if name not in observations:
            continue
        values = observations[name].values
        if name == "covariate":
            values = values + observations["covariate_centre"].values
        # The members of a group have quantities of their own.
        dims = [str(each) for each in observations[name].dims[:-1]]
        for i, entry in enumerate(observations[dim].values):
            columns[str(entry)] = variable(dims, values[order, ..., i], f"{name} {entry}")
    if "noise_scale" in observations:
        scale = observations["noise_scale"].values[order]
        columns["noise_scale"] = variable("system", scale, "known scale of the system's noise")
    table = xr.Dataset(columns, coords={"system": systems})
    if limits_in(observations, "") is not None:
        form = _Form.of(observations, forward)
        for name, meaning in VARIABLES.items():
            limits = form.dataset(observations[name].values)
            table[name] = limits[form.name].assign_attrs(long_name=meaning)
    return table


def tree_of(groups: Mapping[str, xr.Dataset | None], attrs: Mapping[str, str]) -> xr.DataTree:
    """Return the groups that there are as a tree."""
    tree = xr.DataTree.from_dict(
        {name: group for name, group in groups.items() if group is not None and group.data_vars}
    )
    tree.attrs.update({"created_by": "popinv", "package_version": __version__, **attrs})
    return tree


def _systems(observations: xr.Dataset) -> tuple[np.ndarray, xr.Variable]:
    """Return the order of the systems in the user's table, and their names in it."""
    order = table_order(observations)
    names = np.arange(len(order))
    if "system_id" in observations.coords:
        names = observations["system_id"].values
        if all(str(name).isdigit() for name in names):
            names = names.astype(np.int64)
    return order, variable("system", names[order], "system")


@dataclass(frozen=True)
class _Form:
    """Names, dimensions and coordinates of the observations of one system."""

    name: str
    units: str
    long_name: str
    logarithm: bool
    order: np.ndarray
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    coords: Mapping[str, xr.Variable]

    @classmethod
    def of(cls, observations: xr.Dataset, forward: ForwardSection) -> _Form:
        described, own = forward.observed(0), getattr(forward, "observations", None)
        name, units, long_name = described.name, described.units, described.long_name
        if described.logarithm and own is not None:
            name, units, long_name = own.name, own.units, own.long_name
        order, systems = _systems(observations)
        replicates = replicates_of(observations)
        width = observations.sizes["observation"] // replicates
        shape, dims, coords = _axes(observations.isel(observation=slice(0, width)))
        if replicates > 1:
            number = variable("replicate", np.arange(1, replicates + 1), "number of the replicate")
            shape, dims = (replicates, *shape), ("replicate", *dims)
            coords = {"replicate": number, **coords}
        return cls(
            name,
            units,
            long_name or name,
            described.logarithm,
            order,
            (len(order), *shape),
            ("system", *dims),
            {"system": systems, **coords},
        )

    def dataset(
        self,
        values: np.ndarray,
        dims: tuple[str, ...] = (),
        coords: Mapping[str, xr.Variable] | None = None,
    ) -> xr.Dataset:
        """Return values (..., system, observation) as a variable, their leading axes named."""
        values = np.exp(values) if self.logarithm else values
        ordered = values[..., self.order, :].reshape(*values.shape[: len(dims)], *self.shape)
        quantity = variable((*dims, *self.dims), ordered, self.long_name, self.units)
        return xr.Dataset({self.name: quantity}, coords={**(coords or {}), **self.coords})


def _axes(
    one: xr.Dataset,
) -> tuple[tuple[int, ...], tuple[str, ...], dict[str, xr.Variable]]:
    """Return shape, dimensions and coordinates of the observations of one replicate."""
    series = time_series(one)
    count = one.sizes["observation"]
    if series is None or len(place_coordinates(one)) == 0:
        return (count,), ("observation",), _places(one, "observation", np.arange(count))
    places, times = series.shape
    at = one["observation_t"]
    time = variable("time", at.values[series[0]], "time", at.attrs["units"])
    if places == 1 and "label" not in one.coords:
        return (times,), ("time",), {"time": time}
    dim = "label" if "label" in one.coords else "place"
    coords = _places(one.drop_vars("observation_t"), dim, series[:, 0])
    return (places, times), (dim, "time"), {**coords, "time": time}


def _places(one: xr.Dataset, dim: str, first: np.ndarray) -> dict[str, xr.Variable]:
    """Return the coordinates along ``dim`` of the observations with these numbers."""
    index = np.arange(len(first))
    coords = {dim: variable(dim, index, f"number of the {dim}")}
    if "label" in one.coords:
        # Names of the quantities are the best coordinate that there is.
        coords[dim] = variable(dim, one["label"].values[first], "observed quantity")
    for name in place_coordinates(one):
        if name in _COUNTS:
            continue
        at = one[name]
        short = name.removeprefix(_OBSERVATION)
        coords[short] = variable(dim, at.values[first], f"{short} of the {dim}", at.attrs["units"])
    if "column" in one.coords and dim == "observation":
        coords["column"] = variable(dim, one["column"].values[first], "name in the data")
    return coords
