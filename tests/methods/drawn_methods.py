"""Small results with made-up numbers, and each figure of the methods drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.methods.certificate.use import draw_forgetting
from popinv.methods.federated.comparison import draw_answers as draw_sites
from popinv.methods.federated.comparison import draw_reconstruction
from popinv.methods.groups.figures import draw_tests
from popinv.methods.law_posterior.use import draw_marginals
from popinv.methods.posterior.use import draw_calibration, draw_systems
from popinv.methods.restarts.use import draw_ends
from popinv.methods.withdrawal.use import draw_answers, draw_influence

NAMES = ["mean", "scale_of_k", "noise"]


def _certificate():
    rng = np.random.default_rng(0)
    ways = ["learnt", "sequence", "batch", "anew", "exact"]
    return draw_forgetting(
        xr.Dataset(
            {
                "price": (("epsilon", "removal_epochs"), rng.uniform(0.1, 2, (3, 24))),
                "standard_error": ("fitted", [0.1, 0.0, 0.2]),
                "unconstrained": (("way", "fitted"), rng.normal(size=(5, 3))),
                "noise": ("way", [0.1, 0.2, 0.3, 0.4, 0.0]),
            },
            {"epsilon": [0.5, 1.0, 2.0], "removal_epochs": range(1, 25), "way": ways,
             "fitted": NAMES},
        )
    )  # fmt: skip


def _influence(withdrawn: list[str]) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"system": [f"s{k}" for k in range(8)]})
    for name in NAMES:
        table[f"{name}: shift [standard errors]"] = rng.normal(size=8)
    table["size [standard errors]"] = np.sort(rng.uniform(0.1, 1, 8))[::-1]
    return lambda: draw_influence(table, NAMES, withdrawn)


def _answers(*ways: str) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"parameter": NAMES})
    for way in ways:
        table[f"{way}: shift [standard errors]"] = rng.normal(size=3)
    return lambda: draw_answers(table, np.array([0.1, 0.0, 0.2]))


def _ends():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 1, 2, -1, 0])
    made = SimpleNamespace(
        losses=rng.uniform(1, 2, (6, 4)),
        distances=np.arange(6.0),
        found=SimpleNamespace(groups=groups),
    )
    return draw_ends(made)


def _posterior(told: bool = True) -> tuple[xr.Dataset, np.ndarray]:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(12, 3))
    by = ("system", "parameter")
    posterior = xr.Dataset(
        {
            "mean": (by, mean),
            "lower": (by, mean - 1),
            "upper": (by, mean + 2),
            "effective": (by, rng.uniform(100, 200, (12, 3))),
            "rank": (by, rng.uniform(0, 1, (12, 3))),
        },
        {"parameter": NAMES},
    )
    population = rng.normal(size=(50, 3)) * [1, 0, 2]
    return (posterior if told else posterior.drop_vars("rank")), population


def _law_posterior() -> Any:
    rng = np.random.default_rng(0)
    by = ("chain", "draw")
    posterior = xr.Dataset(
        {
            name: (by, values, {"units": units})
            for name, values, units in (
                ("level_mean", rng.normal(2, 0.1, (2, 60)), "m"),
                ("noise", rng.gamma(4, 0.1, (2, 60)), "1"),
            )
        }
    )
    prior = xr.Dataset({"noise": (by, rng.gamma(1, 0.5, (1, 200)))})
    tree = xr.DataTree.from_dict({"posterior": posterior, "prior": prior})
    return draw_marginals(tree, {"answer": np.array([2.0, 0.3]), "truth": np.array([2.1, 9.0])})


def federated(answered: bool = True) -> Any:
    """Return the answers of two sites, of which the second may have none by itself."""
    rng = np.random.default_rng(0)
    by, ways = ("way", "site", "fitted"), ["federated", "pooled", "alone"]
    result = xr.Dataset(
        {
            "unconstrained": (by, rng.normal(size=(3, 2, 3))),
            "standard_error": (by, rng.uniform(0.5, 1, (3, 2, 3)) * [1, 0, 1]),
        },
        {"way": ways, "site": ["north", "south"], "fitted": NAMES},
    )
    if not answered:
        result["unconstrained"][2, 1] = np.nan
        result["standard_error"][2, 1] = np.nan
    return draw_sites(result)


def _reconstruction(*behind: str) -> Callable[[], Any]:
    errors = 0.25 * (1 + np.arange(len(behind)))
    result = xr.Dataset(
        {"reconstruction_error": ("behind", errors)}, {"behind": np.array(behind, dtype=str)}
    )
    return lambda: draw_reconstruction(result)


def _tests():
    pairs = np.array([[1.0, 0.2, 1e-12], [0.2, 1, 0.5], [1e-12, 0.5, 1]])
    return draw_tests(
        xr.Dataset(
            {
                "pair_p_value": (("group", "other"), pairs),
                "system_p_value": ("group", [1e-10, 0.3, 0.02]),
                "apart": ("group", [1, 0, 0]),
            },
            {"group": [3, 5, 8]},
        )
    )


DRAWN: dict[str, Callable[[], Any]] = {
    "certificate/forgetting": _certificate,
    "withdrawal/influence": _influence(["s2", "s5"]),
    "withdrawal/influence_of_all": _influence([]),
    "withdrawal/answers": _answers("one step", "short fit"),
    "withdrawal/no_answers": _answers(),
    "restarts/ends": _ends,
    "posterior/systems": lambda: draw_systems(*_posterior(), _posterior()[0]["mean"].values + 0.5),
    "posterior/systems_without_truth": lambda: draw_systems(*_posterior(), None),
    "posterior/calibration": lambda: draw_calibration(*_posterior()),
    "posterior/calibration_without_truth": lambda: draw_calibration(*_posterior(told=False)),
    "law_posterior/marginals": _law_posterior,
    "federated/answers": federated,
    "federated/reconstruction": _reconstruction("1 system", "one site"),
    "federated/no_reconstruction": _reconstruction(),
    "groups/tests": _tests,
}
"""Figures by method and name."""
