"""The use on a study: law and noise given all systems and a prior, as draws."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.charts.description import Axis, Bars, Grid, Line, Mark, Panel, Reference, Sheet
from popinv.charts.style import DATA, LIGHT, MODEL, TRUTH, readable
from popinv.inference.answer.result import estimate_of
from popinv.inference.uncertainty.law_posterior import ChainSettings
from popinv.methods.invariants import held
from popinv.methods.law_posterior.draws import LawDraws, law_draws
from popinv.methods.outcome import Outcome, StudyInput, write_table
from popinv.surrogate.artefact import surrogate_of

# Shares below the ends of the interval, and below the median between them.
_SHARES = (0.025, 0.5, 0.975)
# Largest difference of the log density at the mode, before and after the chains.
_ROUNDING = 1e-8


def use(study: StudyInput) -> Outcome:
    """Sample the posterior of law and noise, and report its intervals and its quality."""
    asked, stores = study.asked, study.stores
    settings = ChainSettings(asked.chains, asked.draws, asked.warmup)
    surrogate = surrogate_of(stores["surrogate"])
    drawn = law_draws(study.model, stores, surrogate, study.seed, settings)
    tree = drawn.tree(drawn.predicted(asked.predicted, stores["fresh_solves"]))
    known = {"answer": drawn.read(estimate_of(stores["population"]))[0]}
    if (true := _true(drawn, stores)) is not None:
        known["truth"] = true
    table = parameters_table(tree, known)
    metrics = metrics_of(drawn, table)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"marginals": draw_marginals(tree, known)},
        result=tree,
        files={"parameters.csv": partial(write_table, table)},
        invariants=[
            held(
                "coming_back",
                "the chains go away and come back: log density at the mode",
                abs(drawn.found.returned),
                tolerance=_ROUNDING,
            )
        ],
    )


def _true(drawn: LawDraws, stores: Mapping[str, xr.Dataset]) -> np.ndarray | None:
    """Return the true values (n,) of a synthetic study, if it is fitted by the true families."""
    if (truth := stores.get("truth")) is None:
        return None
    dims = ("law_parameter", "noise_parameter")
    if not all(np.array_equal(truth[d], stores["population"][d]) for d in dims):
        return None
    return drawn.read(estimate_of(truth))[0]


def parameters_table(tree: xr.DataTree, known: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return one row for each parameter, with its quantiles and the quantiles of its prior.

    Parameters
    ----------
    known : mapping of str to ndarray of shape (n,)
        ``answer``, the study's estimate, and ``truth`` if it is known.
    """
    posterior, prior = tree["posterior"], tree.get("prior")
    rows = []
    for i, name in enumerate(posterior.data_vars):
        values = posterior[name]
        row: dict[str, Any] = {"parameter": name, "units": values.attrs["units"]}
        row |= dict(zip(("2.5 %", "median", "97.5 %"), np.quantile(values, _SHARES), strict=True))
        ends = [np.nan] * 2
        if prior is not None and name in prior.data_vars:
            ends = np.quantile(prior[name], [_SHARES[0], _SHARES[2]]).tolist()
        row |= dict(zip(("prior 2.5 %", "prior 97.5 %"), ends, strict=True))
        rows.append(row | {kind: each[i] for kind, each in known.items()})
    return pd.DataFrame(rows)


def metrics_of(drawn: LawDraws, table: pd.DataFrame) -> dict[str, Any]:
    """Return the quality of the draws, the interval of each parameter, and both in words."""
    found, free = drawn.found, drawn.problem.free
    largest, fewest = float(found.r_hat[free].max()), float(found.effective[free].min())
    metrics: dict[str, Any] = {
        "systems": len(drawn.problem.data),
        "draws": int(np.prod(found.p.shape[:2])),
        "r_hat_max": largest,
        "effective_min": fewest,
        "effective_share": found.effective_share,
        "divergences": found.divergences,
        "evaluations": found.evaluations,
        "surrogate_error": drawn.step.words,
        "reliable": int(not drawn.reason),
    }
    for row in table.to_dict("records"):
        name = row["parameter"]
        for key, column in (("lower", "2.5 %"), ("median", "median"), ("upper", "97.5 %")):
            metrics[f"{name}_{key}"] = float(row[column])
    if "truth" in table:
        inside = (table["2.5 %"] <= table["truth"]) & (table["truth"] <= table["97.5 %"])
        metrics["coverage"] = float(inside.mean())
    told = [
        f"{readable(row['parameter'])} {row['median']:.3g} ({row['2.5 %']:.3g} to "
        f"{row['97.5 %']:.3g})"
        for row in table.to_dict("records")
    ]
    quality = drawn.reason or (
        f"split R-hat is at most {largest:.3f}, and every parameter has at least {fewest:.0f} "
        "effective draws"
    )
    called = "system" if drawn.problem.members == 1 else "group"
    given = f"all {metrics['systems']} {called}s" if metrics["systems"] > 1 else f"one {called}"
    metrics["statement"] = (
        f"given {given}, medians with 95 % intervals: {', '.join(told)}; {quality}"
    )
    return metrics


# Bins of the posterior, and how many of them a bin of the prior has.
_COLUMNS, _BINS, _OF_PRIOR = 3, 30, 5


def _values(group: Any, name: Any) -> np.ndarray:
    return np.asarray(group[name].values).ravel()


def draw_marginals(tree: xr.DataTree, known: Mapping[str, np.ndarray]) -> Sheet:
    """Return the histogram of each parameter, its prior, the study's answer and the truth."""
    posterior, prior = tree["posterior"], tree.get("prior")
    panels = []
    for i, name in enumerate(posterior.data_vars):
        values = _values(posterior, name)
        low, high = np.quantile(values, [0.002, 0.998])
        share, edges = np.histogram(values, _BINS, (low, high), density=True)
        middle, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
        marks: list[Mark] = [Bars(middle, 0 * share, share, width, label="posterior", colour=LIGHT)]
        if prior is not None and name in prior.data_vars:
            of_prior = _values(prior, name)
            wide = edges[::_OF_PRIOR]
            counts, _ = np.histogram(of_prior, wide)
            heights = counts / (len(of_prior) * _OF_PRIOR * width)
            places = (wide[1:] + wide[:-1]) / 2
            marks.append(Line(places, heights, label="prior", colour=DATA))
        looks = {"answer": ("the answer", MODEL), "truth": ("truth", TRUTH)}
        for kind, each in known.items():
            if low <= each[i] <= high:
                label, colour = looks[kind]
                marks.append(Reference(float(each[i]), upright=True, label=label, colour=colour))
        units = posterior[name].attrs["units"]
        label = readable(str(name)) + ("" if units == "1" else f" [{units}]")
        y = Axis("density" if i % _COLUMNS == 0 else "", limits=(0, None), labels=False)
        panels.append(Panel(Axis(label), y, marks))
    rows = -(-len(panels) // _COLUMNS)
    title = "Law and noise given all systems"
    return Sheet(title, 10, 0.6 + 2.6 * rows, Grid(panels, min(_COLUMNS, len(panels)), legend=4))
