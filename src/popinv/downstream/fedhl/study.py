r"""Sites with laws of their own adapt a study's surrogate without showing their data.

Site s holds a population of law :math:`\mu(\alpha_s)`, with alpha_s so many of the law's spreads
away from the recovered alpha, each in a direction of its own. It solves the forward model for some
systems of that population and can afford an adapter of rank r_s. All start from the surrogate of
the study, which learnt where the recovered law is. Compared are

- ``common``    the surrogate as it is;
- ``alone``     each site adapts it with its own solves, and uses that itself;
- ``flexlora``, ``fedhl``  one surrogate for all, from factors alone;
- ``pooled``    one surrogate for all, of the largest rank, from all solves in one place.

Everybody takes the same number of steps; pooled steps see as many rows as those of all sites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from popinv.artefacts import variable
from popinv.downstream.fedhl.adaptation import minibatches
from popinv.downstream.fedhl.clients import Local, train
from popinv.downstream.fedhl.federation import Federation, run
from popinv.downstream.fedhl.lora import Dense, ModuleLoss, apply, fresh, products, shapes_of
from popinv.downstream.fedhl.server import Weighting
from popinv.downstream.fedhl.splits import site_wise
from popinv.errors import SolverError
from popinv.seeds import generator
from popinv.surrogate.networks import Surrogate

__all__ = ["WAYS", "Sites", "adapt", "site_laws", "solved_sites"]

WAYS = ("common", "alone", "flexlora", "fedhl", "pooled")
_FEWEST = 5

# Maps z (n, d_z) and the name of a stage to y (n, d_y), rows NaN where the solve failed.
Solve = Callable[[np.ndarray, str], np.ndarray]
# Maps alpha, the name of a stage and a count to z (count, d_z).
Draw = Callable[[np.ndarray, str, int], np.ndarray]


@dataclass(frozen=True)
class Sites:
    """Solved systems of all sites, in the units in which the network computes.

    Parameters
    ----------
    x, y : Tensor of shape (n, d_z), (n, d_y)
    site : ndarray of int, shape (n,)
    test_x, test_y, test_site
        The same of systems that nobody trains on.
    """

    x: torch.Tensor
    y: torch.Tensor
    site: np.ndarray
    test_x: torch.Tensor
    test_y: torch.Tensor
    test_site: np.ndarray


def site_laws(
    alpha: np.ndarray, spread: np.ndarray, sites: int, shift: float, seed: int
) -> np.ndarray:
    """Return alpha_s = alpha + shift * spread * u_s with u_s uniform on the sphere, (sites, d)."""
    u = generator(seed, "fedhl/sites").standard_normal((sites, len(alpha)))
    return alpha + shift * spread * u / np.linalg.norm(u, axis=1, keepdims=True)


def solved_sites(
    alphas: np.ndarray, draw: Draw, solve: Solve, surrogate: Surrogate, train: int, test: int
) -> Sites:
    """Draw and solve the systems of all sites.

    Raises
    ------
    SolverError
        If fewer than five systems of a site were solved, to train on or to test with.
    """
    units = surrogate.standardisation
    dtype = next(surrogate.network.parameters()).dtype
    parts: list[Any] = []
    for purpose, count in (("train", train), ("test", test)):
        x, y, site = [], [], []
        for s, alpha in enumerate(alphas):
            stage = f"fedhl/{purpose}/{s}"
            z = draw(alpha, stage, count)
            answers = solve(z, stage)
            whole = np.isfinite(answers).all(axis=1)
            if whole.sum() < _FEWEST:
                raise SolverError(
                    f"Site {s}: only {whole.sum()} of {count} systems were solved, at least "
                    f"{_FEWEST} are needed. Its law may be too far from the recovered one: lower "
                    "'downstream.fedhl.shift'."
                )
            x.append(units.standard_inputs(z[whole]))
            y.append(units.standard_outputs(answers[whole]))
            site.append(np.full(whole.sum(), s))
        parts += [torch.from_numpy(np.concatenate(a)).to(dtype) for a in (x, y)]
        parts.append(np.concatenate(site))
    return Sites(*parts)


def _errors(network: nn.Module, increments: Sequence[Dense], sites: Sites) -> np.ndarray:
    """Return every site's error with its own increments, over the spread of its answers."""
    found = []
    for s, own in enumerate(increments):
        rows = torch.from_numpy(sites.test_site == s)
        y = sites.test_y[rows]
        with torch.no_grad():
            error = apply(network, own, sites.test_x[rows]) - y
        spread = y - y.mean(dim=0)
        found.append(float((error.square().mean() / spread.square().mean()).sqrt()))
    return np.array(found)


def adapt(
    surrogate: Surrogate, sites: Sites, asked: Mapping[str, Any], seed: int
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Adapt the surrogate in every way and compare.

    Parameters
    ----------
    surrogate : Surrogate
    sites : Sites
    asked : mapping
        The section ``downstream.fedhl``: ``ranks`` and the settings of training and weights.
    seed : int

    Returns
    -------
    Dataset
        ``error`` by way and site, ``curve`` of the sites' mean error by round.
    dict
        ``error_<way>_site_<s>``, ``error_<way>_mean``, the bytes moved, and ``statement``.
    """
    network, ranks = surrogate.network, np.array(asked["ranks"])
    loss = ModuleLoss(network, nn.functional.mse_loss)
    shapes = shapes_of(network)
    parts, batch = site_wise(sites.site), asked["batch_size"]
    local = Local(asked["local_steps"], asked["rate"], "adam")
    everything = replace(local, steps=local.steps * asked["rounds"])
    gradient = minibatches(loss, sites.x, sites.y, parts, batch, seed, "fedhl/sites")
    pooled_gradient = minibatches(
        loss, sites.x, sites.y, [np.arange(len(sites.x))], batch * len(ranks), seed, "fedhl/pooled"
    )
    federation = Federation(
        "fedhl", shapes, ranks, np.array([len(part) for part in parts]), gradient, local,
        Weighting(asked["error_power"], asked["epsilon"], asked["relative_epsilon"]),
        dtype=sites.x.dtype, seed=seed, stage="fedhl/sites",
    )  # fmt: skip

    def trained(own_ranks: list[int], own_gradient: Any, stage: str) -> list[Dense]:
        rngs = [generator(seed, f"fedhl/{stage}", i) for i in range(len(own_ranks))]
        start = {
            name: fresh(shape, np.minimum(own_ranks, min(shape)).tolist(), rngs, sites.x.dtype)
            for name, shape in shapes.items()
        }
        numbers = np.arange(len(own_ranks))
        dense = products(train(start, None, own_gradient, numbers, 0, everything))
        return [{name: w[i] for name, w in dense.items()} for i in numbers]

    count = len(ranks)
    found: dict[str, list[Dense]] = {
        "common": [{}] * count,
        "alone": trained(ranks.tolist(), gradient, "alone"),
    }
    curves, records = {}, {}
    for way in ("flexlora", "fedhl"):
        state, records[way] = run(
            replace(federation, method=way), asked["rounds"],
            lambda w: {"error": float(_errors(network, [w] * count, sites).mean())}, way,
        )  # fmt: skip
        found[way], curves[way] = [state.increments] * count, records[way]["error"]
    found["pooled"] = trained([int(ranks.max())], pooled_gradient, "pooled") * count
    errors = np.array([_errors(network, found[way], sites) for way in WAYS])
    metrics = _metrics(errors)
    for way, record in records.items():
        metrics[f"bytes_{way}"] = int(record["bytes"].sum())
    metrics["weight_entropy_fedhl"] = float(records["fedhl"]["entropy"].mean())
    metrics["truncation_fedhl"] = float(records["fedhl"]["truncation"].mean())
    return _dataset(errors, curves, ranks), metrics


def _metrics(errors: np.ndarray) -> dict[str, Any]:
    at = dict(zip(WAYS, errors, strict=True))
    metrics: dict[str, Any] = {"sites": errors.shape[1]}
    for way, values in at.items():
        metrics |= {f"error_{way}_site_{s}": float(value) for s, value in enumerate(values)}
        metrics[f"error_{way}_mean"] = float(values.mean())
    for other in ("common", "alone", "flexlora"):
        metrics[f"sites_better_than_{other}"] = int((at["fedhl"] < at[other]).sum())
    metrics["statement"] = (
        f"the federation is better than training alone at {metrics['sites_better_than_alone']} of "
        f"{errors.shape[1]} sites; its mean error is {at['fedhl'].mean():.3g}, that alone "
        f"{at['alone'].mean():.3g}, pooled {at['pooled'].mean():.3g}, without adaptation "
        f"{at['common'].mean():.3g}"
    )
    return metrics


def _dataset(errors: np.ndarray, curves: Mapping[str, np.ndarray], ranks: np.ndarray) -> xr.Dataset:
    return xr.Dataset(
        {
            "error": variable(("way", "site"), errors, "error over the spread of the answers"),
            "rank": variable("site", ranks, "rank that the site can afford"),
            "curve": variable(
                ("federated", "round"), list(curves.values()), "mean error of the sites"
            ),
        },
        coords={
            "way": variable("way", np.array(WAYS, dtype=np.str_), "way to adapt"),
            "site": variable("site", np.arange(len(ranks)), "site"),
            "federated": variable("federated", np.array(list(curves), dtype=np.str_), "way"),
        },
    )
