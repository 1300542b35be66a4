"""Small results with made-up numbers, and each figure of the papers drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from popinv_papers.analog import figures as analog
from popinv_papers.analog import quadratic
from popinv_papers.analog.deployment import Shift
from popinv_papers.analog.digits import RANGES
from popinv_papers.analog.levels import ERRORS
from popinv_papers.bigram import figures as bigram
from popinv_papers.birch import figures as birch
from popinv_papers.birch.candidates import candidates
from popinv_papers.birch.catalogue import METHODS as BIRCH_METHODS
from popinv_papers.birch.problem import small_trees
from popinv_papers.birch.regime_names import SWEPT
from popinv_papers.birch.use import draw_solves, draw_training
from popinv_papers.certified_unlearning.check import draw_digits
from popinv_papers.fedhl import figures as fedhl
from popinv_papers.influence import claims as influence_claims
from popinv_papers.influence import figures as influence
from popinv_papers.instance_unlearning import figures as instance
from popinv_papers.mwgrad import figures as mwgrad
from popinv_papers.mwgrad.ensemble_problem import LOGS
from popinv_papers.mwgrad.ensemble_runs import METHODS as ENSEMBLES
from popinv_papers.mwgrad.ensemble_runs import EnsembleTraining
from popinv_papers.sgd_dynamics import figures as sgd


def dataset(coords: dict[str, Any], attrs: dict[str, Any] | None = None, **dims: str) -> xr.Dataset:
    """Return positive random numbers over named dimensions, the words of each value."""
    rng = np.random.default_rng(0)
    sizes = {name: len(values) for name, values in coords.items()}
    variables = {
        name: (words.split(), rng.uniform(0.1, 1, [sizes[d] for d in words.split()]))
        for name, words in dims.items()
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs or {})


def _floor():
    names = [f"{m}_{v:g}_squared_gradient" for m in ("digital", "analog") for v in quadratic.RATES]
    names += [
        f"{m}_{v:g}_squared_gradient"
        for m in ("tiki_taka", "residual")
        for v in quadratic.TRANSFERS
    ]
    names += [f"analog_range_{v:g}_bias" for v in quadratic.RANGES]
    names += [f"analog_noise_{v:g}_bias" for v in quadratic.NOISES]
    return analog.draw_floor({name: 0.01 * (k + 1) for k, name in enumerate(names)})


def _analog_accuracies():
    reached = {}
    for kind, ranges in RANGES.items():
        reached[kind] = {"digital": [90.0, 97.0]}
        for k, reach in enumerate(ranges):
            for method in ("analog", "tiki_taka", "residual"):
                reached[kind][f"{method}_{reach:g}"] = [80.0, 90.0 + k + len(method) / 10]
    return analog.draw_accuracies(reached)


def _errors(size: float) -> Callable[[], Any]:
    errors = {
        (device, method, reach): 1 + size * (k + len(method) + reach)
        for k, device in enumerate(("linear_device", "steep"))
        for method in ("analog", "residual")
        for reach in (2.0, 4.0)
    }
    return lambda: analog.draw_errors(errors, 1.05, 1.0)


def _deployment():
    shifts = []
    for kind, own in ERRORS.items():
        for draw in range(2 if own.drawn else 1):
            for k, level in enumerate(own.levels):
                shift = np.array([0.01, -0.02]) * (k + 1 + draw)
                if k == 5 and kind == "drift":
                    shift = np.full(2, np.inf)
                shifts.append(Shift(kind, level, draw, shift, np.ones(2)))
    return analog.draw_deployment(shifts)


def _collapse():
    rows = [
        (method, exponent, size, tau)
        for method in (0, 1)
        for exponent in (1.0, 1.5)
        for size in (1e3, 1e5)
        for tau in ((0.5, 1, 2) if exponent == 1 else (1.0, 10, 100))
    ]
    columns = np.array(rows).T
    names = ("collapse_method", "collapse_exponent", "collapse_size", "collapse_tau")
    result = xr.Dataset(
        {name: ("collapse_point", c) for name, c in zip(names, columns, strict=True)}
    )
    result["collapse_relative_loss"] = np.exp(-result["collapse_tau"] / 50)
    result["collapse_limit"] = np.exp(-result["collapse_tau"] / 60)
    return bigram.draw_collapse(result)


def _map():
    coords = {"target": [0.5, 0.1], "map_exponent": [1.0, 1.5], "map_size": [1000, 10000, 100000]}
    result = dataset(
        coords,
        steps_gradient="target map_exponent map_size",
        steps_sign="target map_exponent map_size",
    )
    return bigram.draw_map(result.assign(steps_gradient=200 * result["steps_gradient"]))


_CURVES = ("gradient", "sign", "adam", "predicted_gradient", "predicted_sign")


def _curves(*vocabularies: int) -> Callable[[], Any]:
    coords: dict[str, Any] = {"horizon": [1, 10, 100]}
    if vocabularies:
        coords["vocabulary"] = list(vocabularies)
    dims = " ".join(coords)
    result = dataset(coords, **dict.fromkeys(_CURVES, dims))
    return lambda: bigram.draw_curves(result, "Curves")


def _trees():
    trees = small_trees()
    return birch.draw_trees({name: trees[name] for name in ("rennala", "ringmaster")})


def _regime():
    names = list(BIRCH_METHODS)[:7]
    coords = {
        "regime": ["classical"],
        "seed": [0, 1],
        "task": ["quadratic", "logistic"],
        "workers": [4, 8],
        "algorithm": names,
    }
    dims = "regime seed task workers algorithm point"
    result = dataset(
        coords | {"point": range(4)}, {"targets": [0.1, 0.2]}, curve_time=dims, curve_loss=dims
    )
    return birch.draw_regime(result, "classical")


def _variation():
    coords = {
        "regime": ["classical", *SWEPT],
        "seed": range(3),
        "task": ["a", "b"],
        "workers": [4, 8],
        "algorithm": list(BIRCH_METHODS)[:6],
    }
    return birch.draw_variation(dataset(coords, time=" ".join(coords)))


def _training():
    coords = {
        "candidate": [way.name for way in candidates(2)][:3],
        "clock": ["predicted", "measured"],
        "repeat": range(2),
        "look": range(5),
    }
    dims = " ".join(coords)
    result = dataset(coords, {"target": 0.3}, time=dims, loss=dims)
    return draw_training(result.assign(time=result["time"].cumsum("look")))


def _solves():
    attrs = {"equal": 5.0, "by_speed": 4.0, "bound": 3.0}
    result = xr.Dataset(
        {"makespan": ("chunk_size", [9.0, 5, 4])}, {"chunk_size": [1, 8, 64]}, attrs
    )
    return draw_solves(result)


_RULES = ["fedhl", "flora", "uniform"]


def _fedhl():
    coords = {
        "problem": ["text", "images"],
        "division": ["even", "uneven"],
        "rule": _RULES,
        "seed": range(5),
        "round": range(3),
    }
    result = dataset(coords, accuracy=" ".join(coords), last_accuracy="problem division rule seed")
    result["accuracy"].loc[{"problem": "images", "division": "even"}] = np.nan
    return result


def _losses():
    coords = {
        "seed": range(5),
        "case": ["alike", "apart"],
        "regression_rule": _RULES,
        "regression_round": range(4),
    }
    result = dataset(coords, loss=" ".join(coords), optimum="seed case")
    result["optimum"].loc[{"case": "alike"}] = 0
    return fedhl.draw_losses(result)


def _sites():
    coords = {
        "site": [1, 2, 3],
        "way": ["common", "alone", "flexlora", "fedhl", "pooled"],
        "repeat": range(2),
    }
    result = dataset(coords, error="way repeat site")
    return fedhl.draw_sites(result.assign(rank=("site", [2, 4, 8])))


def _selections():
    coords: dict[str, Any] = {}
    dims: dict[str, str] = {}
    for part, kind in influence_claims.MERITS.items():
        targets = influence_claims._TARGETS[part]
        names = [
            "_".join((kind, *target, method))
            for method in ("exact", "landmarks_8", "random")
            for target in ([[t] for t in targets] or [[]])
        ]
        names += [f"correlation_own_{rule}_{n}" for rule in ("kernel", "linear") for n in (4, 8)]
        coords |= {f"{part}_name": names, f"{part}_draw": range(5)}
        dims[part] = f"{part}_draw {part}_name"
    return dataset(coords, **dims)


def _influence_study(candidates: bool) -> Callable[[], Any]:
    coords: dict[str, Any] = {
        "training": ["selected", "random", "all_as_weighed"],
        "draw": range(3),
    }
    dims = {"error": "training draw"}
    if candidates:
        coords |= {"order": ["influence", "random"], "candidates": [8, 16, 32]}
        dims |= {"candidate_error": "order draw candidates"}
    result = dataset(coords, {"error_before": 0.4}, **dims)
    return lambda: influence.draw_study(result.assign(error_without=0.7) if candidates else result)


def _steps():
    coords = {
        "run": range(3),
        "forget_set": ["privacy_0", "privacy_1", "random", "margin"],
        "tuned": [10, 20, 40],
    }
    dims = dict.fromkeys(("sgld_steps", "sgd_steps", "l1_steps"), "run forget_set")
    dims |= dict.fromkeys(("sgld_privacy_of_set", "sgd_privacy_of_set"), "forget_set")
    return instance.draw_steps(dataset(coords, **dims))


def _fine_tuning():
    coords = {"run": range(3), "tuned": [10, 20, 40], "quantile": range(4)}
    dims = dict.fromkeys(("sgld_accuracy", "sgd_accuracy", "l1_accuracy"), "run tuned quantile")
    dims |= dict.fromkeys(("sgld_reference", "sgd_reference"), "run quantile")
    return instance.draw_curves(dataset(coords, {"quantiles": 4}, **dims))


def _utility():
    coords = {
        "bound": ["easy", "median", "hard", "uniform", "coupled"],
        "epsilon": [0.5, 1.0],
        "run": range(3),
        "unlearned": [1, 10, 100],
    }
    dims = {"utility": " ".join(coords), "utility_noiseless": "run"}
    return instance.draw_utility(dataset(coords, **dims))


def _withdrawn():
    coords = {"candidate": [3, 5, 8, 9], "withdrawn": [5, 9], "step": range(4)}
    attrs = {"loss_uncertainty": 0.1, "epsilon": 0.5}
    dims = {"distance": "candidate", "loss": "candidate"}
    dims |= dict.fromkeys(("divergence", "floor"), "withdrawn step")
    return instance.draw_systems(dataset(coords, attrs, **dims))


def _particles():
    result = dataset({"run": ["plain_svgd", "plain"], "one": range(5), "axis": range(2)},
                     particles="run one axis")  # fmt: skip

    def target(shift: float):
        return SimpleNamespace(log_density=lambda z: -((z - shift) ** 2).sum(axis=-1) / 8)

    return mwgrad.draw_particles(result, [target(-2.0)])


def _accelerated():
    coords = {"moves": ["plain", "accelerated"], "seed": range(2), "step": range(4)}
    cases = ("curve_ill_conditioned", "curve_mixtures")
    return mwgrad.draw_accelerated(dataset(coords, **dict.fromkeys(cases, " ".join(coords))))


def _group(count: int) -> Callable[[], Any]:
    coords = {
        "group": [4, 7],
        "parameter": ["log_k", "mean", "shift"][:count],
        "rule": ["minnorm", "fixed"],
        "particle": range(6),
    }
    result = dataset(
        coords, z_alone="group particle parameter", z="rule particle parameter", regret="rule group"
    )
    return lambda: mwgrad.draw_group(result)


def _front():
    coords = {
        "group": [4, 7, 9],
        "front_system": [9, 4],
        "rule": ["minnorm", "fixed"],
        "other": range(2),
        "place": range(5),
    }
    dims = {"front": "place front_system", "regret": "rule group", "regret_from": "other group"}
    return mwgrad.draw_front(dataset(coords, **dims))


def trained() -> dict[EnsembleTraining, xr.Dataset]:
    rng, found = np.random.default_rng(0), {}
    recipes = {"own": ENSEMBLES, "authors": ("svgd", "gfsd"), "authors_on_test": ("svgd", "gfsd")}
    for kind in list(LOGS)[:2]:
        for recipe, methods in recipes.items():
            for method in methods:
                for start in range(5):
                    result = xr.Dataset(
                        {
                            "accuracy": (("part", "epoch", "task"), rng.uniform(0.5, 1, (2, 3, 2))),
                            "example": (("one", "row", "column"), rng.uniform(0, 1, (2, 3, 3))),
                            "example_label": (("one", "task"), [[3, 1], [4, 1]]),
                        },
                        {"part": ["trained", "unseen"]},
                    )
                    found[EnsembleTraining(kind, recipe, method, start)] = result
    return found


def _comparisons():
    coords = {"comparison": ["mean_rise", "no_theory", "spread"], "batch": range(6)}
    result = dataset(coords, theory="comparison", simulated="comparison batch")
    result["theory"].loc[{"comparison": "no_theory"}] = 0
    return sgd.draw_comparisons(result)


def _slices():
    places = np.linspace(0, 1, 5)
    points = [
        SimpleNamespace(place=0.3, is_maximum=False),
        SimpleNamespace(place=0.7, is_maximum=True),
    ]

    def profile(scale: float):
        slope = np.array([-1.0, 0.5, 1, 2, scale])
        return SimpleNamespace(
            places=places, slope=slope, height=slope**2, error=0.1 + places, points=points
        )

    return sgd.draw_slices({"start": profile(3.0), "other_start": profile(500.0)})


def _digits():
    coords = {
        "method": ["full", "b128", "langevin", "delete"],
        "request": range(12),
        "published": ["full", "b128", "delete_1", "delete_5"],
        "trial": range(5),
        "epsilon": [0.1, 1.0],
        "noisy": ["b32", "full"],
        "sigma": [0.01, 0.03],
    }
    result = dataset(
        coords,
        epochs="method request",
        accuracy="published trial epsilon",
        noisy_accuracy="noisy sigma trial",
        noisy_retrained="noisy sigma trial",
    )
    # Of requests that are served ten at a time.
    result["epochs"].loc[{"method": "delete", "request": slice(0, 8)}] = 0
    return draw_digits(result)


DRAWN: dict[str, Callable[[], Any]] = {
    "analog/floor": _floor,
    "analog/accuracies": _analog_accuracies,
    "analog/errors": _errors(1.0),
    "analog/errors_alike": _errors(0.01),
    "analog/deployment": _deployment,
    "bigram/collapse": _collapse,
    "bigram/map": _map,
    "bigram/text": _curves(),
    "bigram/tokens": _curves(100, 1000),
    "birch/trees": _trees,
    "birch/regime": _regime,
    "birch/variation": _variation,
    "birch/training": _training,
    "birch/solves": _solves,
    "certified_unlearning/digits": _digits,
    "fedhl/accuracy": lambda: fedhl.draw_accuracy(_fedhl()),
    "fedhl/gains": lambda: fedhl.draw_gains(_fedhl()),
    "fedhl/losses": _losses,
    "fedhl/sites": _sites,
    "influence/selections": lambda: influence.draw_selections(_selections()),
    "influence/landmarks": lambda: influence.draw_landmarks(_selections()),
    "influence/study": _influence_study(candidates=True),
    "influence/study_of_fixed_design": _influence_study(candidates=False),
    "instance_unlearning/steps": _steps,
    "instance_unlearning/curves": _fine_tuning,
    "instance_unlearning/utility": _utility,
    "instance_unlearning/systems": _withdrawn,
    "mwgrad/particles": _particles,
    "mwgrad/accelerated": _accelerated,
    "mwgrad/group": _group(3),
    "mwgrad/group_of_one_parameter": _group(1),
    "mwgrad/front": _front,
    "mwgrad/examples": lambda: mwgrad.draw_examples(trained()),
    "mwgrad/accuracies": lambda: mwgrad.draw_accuracies(trained()),
    "mwgrad/logs": lambda: mwgrad.draw_logs(trained()),
    "sgd_dynamics/comparisons": _comparisons,
    "sgd_dynamics/slices": _slices,
}
"""Figures by paper and name."""
