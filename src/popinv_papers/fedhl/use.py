r"""The use on a study: sites with laws of their own adapt its surrogate without showing their data.

Site s holds a population of law :math:`\mu(\alpha_s)`, with alpha_s a number of the law's spreads
away from the recovered alpha, each in a direction of its own. It solves the forward model for some
systems of that population and can afford an adapter of rank r_s. All start from the surrogate of
the study, which learnt where the recovered law is. Compared are

- ``common``    the surrogate as it is;
- ``alone``     each site adapts it with its own solves, and uses that itself;
- ``flexlora``, ``fedhl``  one surrogate for all, from factors alone;
- ``pooled``    one surrogate for all, of the largest rank, from all solves in one place.

Everybody takes the same number of steps; a pooled step sees as many rows as all sites together. All
is repeated with other initial adapters and minibatches. A difference counts only if it exceeds the
spread of these repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from tqdm import tqdm

from popinv.errors import SolverError
from popinv.inference.answer.result import parameters_of
from popinv.methods.invariants import Invariant, held
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.sites import site_laws
from popinv.population.laws.section import law_spread
from popinv.population.synthetic import parameters
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.trained_network import Surrogate
from popinv.threads import fixed_threads
from popinv_papers.fedhl.clients import Local, minibatches, site_wise, train
from popinv_papers.fedhl.federation import Federation, run
from popinv_papers.fedhl.figures import draw_sites
from popinv_papers.fedhl.lora import Dense, ModuleLoss, apply, fresh, products, shapes_of
from popinv_papers.fedhl.server import Weighting

if TYPE_CHECKING:
    from popinv_papers.fedhl.method import FedHL

WAYS = ("common", "alone", "flexlora", "fedhl", "pooled")
_FEWEST = 5
# Relative change of an error that single precision makes.
_ROUNDING = 1e-4

# Maps z (n, d_z) and the name of a stage to y (n, d_y), rows NaN where the solve failed.
Solve = Callable[[np.ndarray, str], np.ndarray]
# Maps alpha, the name of a stage and a count to z (count, d_z).
Draw = Callable[[np.ndarray, str, int], np.ndarray]


@dataclass(frozen=True)
class Sites:
    """Solved systems of all sites, in the units in which the network computes.

    ``x`` (n, d_z) and ``y`` (n, d_y) belong to a site (n,) each. Nobody trains on the others.
    """

    x: torch.Tensor
    y: torch.Tensor
    site: np.ndarray
    test_x: torch.Tensor
    test_y: torch.Tensor
    test_site: np.ndarray


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
    adapted = [lambda x, own=own: apply(network, own, x) for own in increments]
    return _errors_of(adapted, sites)


def _errors_of(answers: Sequence[Callable[[torch.Tensor], Any]], sites: Sites) -> np.ndarray:
    """Return every site's error with its own way to answer, over the spread of its answers."""
    errors = []
    for s, answer in enumerate(answers):
        rows = torch.from_numpy(sites.test_site == s)
        y = sites.test_y[rows]
        with torch.no_grad():
            error = answer(sites.test_x[rows]) - y
        spread = y - y.mean(dim=0)
        errors.append(float((error.square().mean() / spread.square().mean()).sqrt()))
    return np.array(errors)


def adapt(
    surrogate: Surrogate, sites: Sites, asked: FedHL, seed: int
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Adapt the surrogate in every way and compare.

    Returns
    -------
    Dataset
        ``error`` by repeat, way and site, ``curve`` of the sites' mean error by round.
    dict
        ``error_<way>_site_<s>`` and ``error_<way>_mean``, means over repeats with their standard
        deviations, the bytes moved in one, and ``statement``.
    """
    repeats, records = [], []
    for repeat in tqdm(range(asked.repeats), desc="adaptations", unit="repeat", disable=None):
        errors, record = _adapted(surrogate, sites, asked, seed, f"fedhl/{repeat}")
        repeats.append(errors)
        records.append(record)
    errors = np.array(repeats)
    metrics = _metrics(errors)
    for way, federated in records[0].items():
        metrics[f"bytes_{way}"] = int(federated["bytes"].sum())
    for name, words in (("entropy", "weight_entropy"), ("truncation", "truncation")):
        means = [record["fedhl"][name].mean() for record in records]
        metrics[f"{words}_fedhl"] = float(np.mean(means))
    return _dataset(errors, records, asked.ranks), metrics


def nothing_trained(surrogate: Surrogate, sites: Sites, asked: FedHL, seed: int) -> Invariant:
    """Check that every way has the error of the surrogate where its learning rate is zero."""
    once = asked.replace(rounds=1, local_steps=1)
    errors, _ = _adapted(surrogate, sites, once, seed, "fedhl/nothing", rate=0.0)
    alone = _errors_of([surrogate.network] * len(asked.ranks), sites)
    return held(
        "nothing_trained",
        "learning rate zero: largest change of a site's error by any way to adapt, relative",
        float(np.abs(errors / alone - 1).max()),
        _ROUNDING,
    )


def _adapted(
    surrogate: Surrogate,
    sites: Sites,
    asked: FedHL,
    seed: int,
    stage: str,
    rate: float | None = None,
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Return the errors (way, site) of one repeat, and the federations' records.

    The learning rate is the section's by default.
    """
    network, ranks = surrogate.network, np.array(asked.ranks)
    loss = ModuleLoss(network, nn.functional.mse_loss)
    shapes = shapes_of(network)
    parts, batch = site_wise(sites.site), asked.batch_size
    local = Local(asked.local_steps, asked.rate if rate is None else rate, "adam")
    everything = replace(local, steps=local.steps * asked.rounds)
    gradient = minibatches(loss, sites.x, sites.y, parts, batch, seed, f"{stage}/sites")
    everyone, whole = [np.arange(len(sites.x))], batch * len(ranks)
    pooled_gradient = minibatches(loss, sites.x, sites.y, everyone, whole, seed, f"{stage}/pooled")
    federation = Federation(
        "fedhl",
        shapes,
        ranks,
        np.array([len(part) for part in parts]),
        gradient,
        local,
        Weighting(asked.error_power, asked.epsilon, asked.relative_epsilon),
        dtype=sites.x.dtype,
        seed=seed,
        stage=f"{stage}/sites",
    )

    def trained(own_ranks: list[int], own_gradient: Any, way: str) -> list[Dense]:
        rngs = [generator(seed, f"{stage}/{way}", i) for i in range(len(own_ranks))]
        start = {
            name: fresh(shape, np.minimum(own_ranks, min(shape)).tolist(), rngs, sites.x.dtype)
            for name, shape in shapes.items()
        }
        numbers = np.arange(len(own_ranks))
        dense = products(train(start, None, own_gradient, numbers, 0, everything))
        return [{name: w[i] for name, w in dense.items()} for i in numbers]

    count = len(ranks)
    increments: dict[str, list[Dense]] = {
        "common": [{}] * count,
        "alone": trained(ranks.tolist(), gradient, "alone"),
    }
    records = {}
    for way in ("flexlora", "fedhl"):
        state, records[way] = run(
            replace(federation, method=way),
            asked.rounds,
            lambda w: {"error": float(_errors(network, [w] * count, sites).mean())},
            way,
        )
        increments[way] = [state.increments] * count
    increments["pooled"] = trained([int(ranks.max())], pooled_gradient, "pooled") * count
    return np.array([_errors(network, increments[way], sites) for way in WAYS]), records


def _metrics(errors: np.ndarray) -> dict[str, Any]:
    """Return the numbers of errors (repeat, way, site): means over repeats, and what is beyond."""
    repeats, _, sites = errors.shape
    at = {way: errors[:, i] for i, way in enumerate(WAYS)}
    by_way: dict[str, float] = {}
    for way, values in at.items():
        for site in range(sites):
            by_way[f"error_{way}_site_{site}"] = float(values[:, site].mean())
            by_way[f"error_{way}_site_{site}_sd"] = float(values[:, site].std(ddof=1))
        by_way[f"error_{way}_mean"] = float(values.mean())
        by_way[f"error_{way}_mean_sd"] = float(values.mean(axis=1).std(ddof=1))
    clear: dict[str, int] = {}
    for other in ("common", "alone", "flexlora"):
        gain = at[other] - at["fedhl"]
        # The differences are clear beyond two standard errors of the mean over repeats.
        sure = 2 * gain.std(axis=0, ddof=1) / repeats**0.5
        clear[f"sites_better_than_{other}"] = int((gain.mean(axis=0) > sure).sum())
        clear[f"sites_worse_than_{other}"] = int((gain.mean(axis=0) < -sure).sum())

    def said(way: str) -> str:
        return f"{by_way[f'error_{way}_mean']:.3g} ({by_way[f'error_{way}_mean_sd']:.2g})"

    return {
        "sites": sites,
        "repeats": repeats,
        **by_way,
        **clear,
        "statement": "FedHL is better than training alone at "
        f"{clear['sites_better_than_alone']} of {sites} sites and worse at "
        f"{clear['sites_worse_than_alone']} (beyond two standard errors); the sites' mean error "
        f"(standard deviation over {repeats} repeats) is {said('fedhl')} with FedHL, "
        f"{said('flexlora')} with FlexLoRA, {said('alone')} alone, {said('pooled')} with all "
        f"solves pooled, and {at['common'].mean():.3g} without adaptation",
    }


def _dataset(
    errors: np.ndarray, records: Sequence[Mapping[str, Mapping[str, np.ndarray]]], ranks: list[int]
) -> xr.Dataset:
    names = list(records[0])
    return xr.Dataset(
        {
            "error": variable(
                ("repeat", "way", "site"), errors, "error over the spread of the answers"
            ),
            "rank": variable("site", ranks, "rank that the site can afford"),
            "curve": variable(
                ("repeat", "federated", "round"),
                [[record[name]["error"] for name in names] for record in records],
                "mean error of the sites",
            ),
        },
        coords={
            "way": variable("way", WAYS, "way to adapt"),
            "site": variable("site", np.arange(len(ranks)), "site"),
            "federated": variable("federated", names, "way"),
        },
    )


def use(study: StudyInput) -> Outcome:
    """Solve the systems of every site, and adapt the surrogate in every way."""
    asked, seed = study.asked, study.seed
    surrogate = surrogate_of(study.stores["surrogate"])
    alpha, _ = parameters_of(study.stores["population"])
    population = study.law.law(study.forward)
    spread = law_spread(study.law, study.forward)
    alphas = site_laws(alpha, spread, len(asked.ranks), asked.shift, seed)
    model = study.forward.model(seed)
    with fixed_threads():
        sites = solved_sites(
            alphas,
            lambda a, stage, count: parameters(population, a, seed, stage, count),
            lambda z, stage: model.solve(z, stage).observations,
            surrogate,
            asked.solves,
            asked.test_solves,
        )
        print(f"{len(sites.x)} solves to train on and {len(sites.test_x)} to test with")
        invariant = nothing_trained(surrogate, sites, asked, seed)
        result, metrics = adapt(surrogate, sites, asked, seed)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"sites": draw_sites(result)},
        result=result,
        invariants=[invariant],
    )
