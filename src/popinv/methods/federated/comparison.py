"""Comparison of the federated answer with the pooled answer and each site's own answer.

The comparison has numbers, words, a dataset, tables and pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.charts.description import (
    Axis,
    Bars,
    Grid,
    Mark,
    Marker,
    Note,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import CHECK, LIGHT, MODEL, ORACLE
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.density.problem import Problem
from popinv.methods.federated.channel import Channel
from popinv.methods.federated.noisy import Guarantee
from popinv.methods.federated.server import FederatedAnswer
from popinv.store.variables import variable

if TYPE_CHECKING:
    from popinv.methods.federated.method import Federated

WAYS = ("federated", "pooled", "alone")
# Within this ratio of standard errors, a federated answer is as good as the pooled answer.
_AS_GOOD = 1.1


@dataclass(frozen=True)
class Compared:
    """The answers of all ways, and the record of the rounds.

    ``names`` are the parameters of law and noise. All sites share one federated and one pooled
    answer, or each site has its own; a site by itself may have no answer. The errors belong to
    reconstructed observations, and the sizes are the numbers of systems of each site.
    """

    names: Sequence[str]
    sites: Sequence[str]
    federated: list[FederatedAnswer]
    pooled: list[FederatedAnswer]
    alone: Mapping[str, FederatedAnswer | None]
    channel: Channel
    errors: Mapping[str, float]
    sizes: Mapping[str, int]
    estimator: str

    def of(self, way: str, name: str = "p") -> np.ndarray:
        """Return ``p`` or ``standard_error`` of a way (site, parameter); NaN without an answer."""
        if way == "alone":
            answers = [self.alone[site] for site in self.sites]
        else:
            answers = list(self.federated if way == "federated" else self.pooled)
            answers *= len(self.sites) // len(answers)
        nothing = np.full(len(self.names), np.nan)
        return np.array([nothing if one is None else getattr(one, name) for one in answers])

    def natural(self, way: str, problem: Problem) -> np.ndarray:
        """Return the answers (site, parameter) as users read them; NaN where there is none."""
        return np.array([problem.natural(p) if np.isfinite(p).all() else p for p in self.of(way)])

    def ratio(self, way: str) -> np.ndarray:
        """Return standard errors over the pooled standard errors (site, parameter); NaN if held."""
        return self._over_pooled(self.of(way, "standard_error"))

    def distance(self, way: str) -> np.ndarray:
        """Return distances from the pooled answer in its standard errors (site, parameter)."""
        return self._over_pooled(self.of(way) - self.of("pooled"))

    def _over_pooled(self, values: np.ndarray) -> np.ndarray:
        error = self.of("pooled", "standard_error")
        return np.where(error > 0, values / np.where(error > 0, error, 1.0), np.nan)


def metrics_of(compared: Compared, asked: Federated, wanted: Guarantee | None) -> dict[str, Any]:
    """Return the numbers of ``metrics.json``, with the finding in words."""
    channel, rounds = compared.channel, compared.channel.rounds
    ratio, distance = compared.ratio("federated"), np.abs(compared.distance("federated"))
    alone = compared.ratio("alone")
    numbers: dict[str, Any] = {
        "sites": len(compared.sites),
        "systems": sum(compared.sizes.values()),
        "law": asked.law,
        "secure": asked.secure,
        "estimator": compared.estimator,
        "arrived": all(answer.arrived for answer in compared.federated),
        "rounds": len(rounds),
        "bytes_up_per_site_and_round": max(r.bytes_up for r in rounds) // channel.count,
        "bytes_down_per_site_and_round": max(r.bytes_down for r in rounds) // channel.count,
        "bytes_of_all_rounds": sum(r.bytes_up + r.bytes_down for r in rounds),
    }
    for i, name in enumerate(compared.names):
        key = name.replace(" ", "_")
        for label, values in (
            ("ratio_federated", ratio),
            ("distance_federated", distance),
            ("ratio_alone", alone),
            ("distance_alone", np.abs(compared.distance("alone"))),
        ):
            if np.isfinite(values[:, i]).any():
                numbers[f"{label}_{key}"] = float(np.nanmax(values[:, i]))
    numbers["largest_ratio_federated"] = float(np.nanmax(ratio))
    numbers["largest_distance_federated"] = float(np.nanmax(distance))
    if np.isfinite(alone).any():
        numbers["smallest_ratio_alone"] = float(np.nanmin(alone))
        numbers["largest_ratio_alone"] = float(np.nanmax(alone))
    numbers["sites_without_answer_alone"] = sum(a is None for a in compared.alone.values())
    numbers["as_good_as_pooled"] = bool(np.nanmax(ratio) <= _AS_GOOD)
    if wanted is not None:
        numbers |= {"epsilon": wanted.reached, "delta": wanted.delta}
    for behind, error in compared.errors.items():
        numbers[f"reconstruction_error_{behind.replace(' ', '_')}"] = error
    numbers["statement"] = _statement(numbers, compared, wanted)
    return numbers


def _statement(numbers: Mapping[str, Any], compared: Compared, wanted: Guarantee | None) -> str:
    """Return the finding in one sentence."""
    law = "a law of its own each" if numbers["law"] == "own" else "one law"
    said = (
        f"{numbers['sites']} sites with {law} reach the pooled answer to "
        f"{numbers['largest_distance_federated']:.2g} of its standard errors, with standard errors "
        f"of at most {numbers['largest_ratio_federated']:.3g} times the pooled ones"
    )
    if "largest_ratio_alone" in numbers:
        said += (
            f" (alone {numbers['smallest_ratio_alone']:.3g} to "
            f"{numbers['largest_ratio_alone']:.3g})"
        )
    said += (
        f", in {numbers['rounds']} rounds of at most "
        f"{numbers['bytes_up_per_site_and_round']:,} bytes from each site"
    )
    if wanted is not None:
        said += f"; each system has epsilon = {wanted.reached:.3g} at delta = {wanted.delta:.2g}"
    if "1 system" in compared.errors:
        said += (
            "; an observer reconstructs the observation of a site of one system with an error of "
            f"{compared.errors['1 system']:.2g} of its spread, and those of {compared.sites[0]} "
            f"with {compared.errors['one site']:.2g}"
        )
    return said


def dataset(compared: Compared, problem: Problem) -> xr.Dataset:
    """Return answers, standard errors, rounds and errors of reconstruction."""
    rounds, dims = compared.channel.rounds, ("way", "site", "fitted")
    errors = [compared.of(way, "standard_error") for way in WAYS]
    variables = {
        "unconstrained": variable(
            dims, [compared.of(way) for way in WAYS], "law and noise, unconstrained"
        ),
        "natural": variable(
            dims, [compared.natural(way, problem) for way in WAYS], "law and noise"
        ),
        "standard_error": variable(dims, errors, "standard error, unconstrained"),
        "systems": variable("site", list(compared.sizes.values()), "systems of the site"),
        "bytes_up": variable("round", [r.bytes_up for r in rounds], "bytes from all sites"),
        "bytes_down": variable("round", [r.bytes_down for r in rounds], "bytes to all sites"),
        "reconstruction_error": variable(
            "behind",
            np.array(list(compared.errors.values()), dtype=float),
            "error of reconstructed observations over their spread",
        ),
    }
    questions = [r.question for r in rounds]
    return xr.Dataset(
        variables,
        coords={
            **parameter_coordinate(WAYS, "way", "how the answer was found"),
            **parameter_coordinate(compared.sites, "site", "site"),
            **parameter_coordinate(compared.names, "fitted", "law or noise"),
            "question": variable("round", np.array(questions, dtype=np.str_), "question"),
            "behind": variable(
                "behind", np.array(list(compared.errors), dtype=np.str_), "behind the message"
            ),
        },
    )


def answers_table(compared: Compared, problem: Problem) -> pd.DataFrame:
    """Return one row for each site and parameter.

    Standard errors are divided by the pooled standard errors, and distances from the pooled answer
    are in its standard errors, both for the unconstrained parameters.
    """
    count, sites = len(compared.names), compared.sites
    columns = {
        "site": np.repeat(sites, count),
        "systems": np.repeat([compared.sizes[name] for name in sites], count),
        "parameter": np.tile(compared.names, len(sites)),
        **{way: compared.natural(way, problem).ravel() for way in WAYS},
        "pooled: standard error, unconstrained": compared.of("pooled", "standard_error").ravel(),
    }
    for way in ("federated", "alone"):
        columns[f"{way}: standard error over pooled"] = compared.ratio(way).ravel()
        columns[f"{way}: distance from pooled [standard errors]"] = compared.distance(way).ravel()
    return pd.DataFrame(columns)


def rounds_table(channel: Channel) -> pd.DataFrame:
    """Return one row for each round, with the bytes to and from one site."""
    return pd.DataFrame(
        {
            "round": range(1, len(channel.rounds) + 1),
            "question": [r.question for r in channel.rounds],
            "bytes to a site": [r.bytes_down // channel.count for r in channel.rounds],
            "bytes from a site": [r.bytes_up // channel.count for r in channel.rounds],
        }
    )


_MARKERS: dict[str, tuple[str, Marker]] = {
    "federated": (MODEL, "circle"),
    "pooled": (ORACLE, "diamond"),
    "alone": (CHECK, "square"),
}


def draw_answers(result: xr.Dataset) -> Sheet:
    """Return each site's answer in each way, with 95 % intervals, about the pooled answer."""
    names, sites = result["fitted"].values, [str(site) for site in result["site"].values]
    origin = result["unconstrained"].sel(way="pooled").isel(site=0)
    unit = result["standard_error"].sel(way="pooled").isel(site=0)
    rows = Axis(places=range(len(sites)), names=sites, limits=(len(sites) - 0.5, -0.5))
    panels = []
    for name in names:
        error = float(unit.sel(fitted=name))
        marks: list[Mark] = [Reference(0.0, upright=True, width=0.8, colour=LIGHT)]
        for i, (way, (colour, marker)) in enumerate(_MARKERS.items()):
            if error <= 0:
                continue
            found = result.sel(way=way, fitted=name)
            x = (found["unconstrained"].values - float(origin.sel(fitted=name))) / error
            wide = 1.96 * found["standard_error"].values / error
            ends: dict[str, Any] = {"low": x - wide, "high": x + wide, "across": True}
            y = np.arange(len(sites)) + 0.22 * (i - 1)
            marks.append(Points(x, y, marker, 5, colour=colour, label=way, **ends))
        panels.append(Panel(Axis("standard errors"), rows, marks, title=str(name)))
    title = "Answers of the sites, from the pooled one of the first site"
    grid = Grid(panels, len(names), share_y=True, legend=3)
    return Sheet(title, 2.2 * len(names) + 1.5, 4.8, grid)


def draw_reconstruction(result: xr.Dataset) -> Sheet:
    """Return the error of reconstructed observations by the systems behind a message."""
    behind, errors = result["behind"].values, result["reconstruction_error"].values
    place = np.arange(len(behind))
    marks: list[Mark] = [
        Bars(place, 0 * errors, errors, 0.6, colour=MODEL, label="error over the spread"),
        Reference(1.0, width=1.2, colour=LIGHT),
    ]
    if not len(behind):
        marks.append(Note("not measured"))
    x = Axis("behind the message", places=place, names=[str(name) for name in behind])
    panel = Panel(x, Axis("error over the spread", limits=(0, None)), marks)
    return Sheet("What an observer of the messages reconstructs", 6.5, 4, Grid([panel]))
