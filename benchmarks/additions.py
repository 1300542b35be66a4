"""Additions to four studies against whole reruns: the difference of the answers, and the cost.

    python -m benchmarks.additions [STUDY]...     # writes docs/tables/data/additions.csv

Each study is fitted to its first systems, the others are added, and all of them are fitted at once.
Times are processor seconds of one core. Those of a rerun include the tests of the model, which
additions of more than 5 % of the systems make again. ``with the same draws`` is the difference from
a maximum that is found from the start of the study, of the systems in the same order.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.machine import ROOT, confine, cpu_model

if __name__ == "__main__":
    confine()

import numpy as np
import pandas as pd
import torch

import popinv
from popinv.inference.answer.result import estimate_of

FILE = ROOT / "docs/tables/data/additions.csv"
_TIMES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 24.0])

Fit = Callable[[Any], popinv.Result]


def _line(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


def _absorption(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    ka, volume, clearance = (column[:, None] for column in z.unbind(1))
    k, t = clearance / volume, torch.as_tensor(times)
    return 320 * ka / (volume * (ka - k)) * (torch.exp(-k * t) - torch.exp(-ka * t))


def _normal(start: dict[str, tuple[float, float]], kind: str = "lognormal") -> dict[str, Any]:
    return {
        "kind": kind,
        "start": {n: {"mean": m, "standard_deviation": s} for n, (m, s) in start.items()},
    }


def lines() -> tuple[np.ndarray, Fit]:
    """Return straight lines, whose likelihood has a closed form."""
    rng = np.random.default_rng(1)
    times = np.linspace(-1, 1, 9)
    z = rng.normal([150.0, 6.5], [8.0, 1.6], size=(1010, 2))
    data = z[:, :1] + z[:, 1:] * times + 0.7 * rng.normal(size=(1010, 9))
    law = _normal({"intercept": (140.0, 12.0), "slope": (5.0, 3.0)}, "normal")
    return data, lambda rows: popinv.fit(
        rows, _line, law=law, noise="isotropic", times=times, progress=False
    )


def theophylline() -> tuple[np.ndarray, Fit]:
    """Return one oral dose of theophylline in many people, by a function of torch."""
    rng = np.random.default_rng(2)
    z = np.exp(rng.normal([0.45, 3.45, 1.0], [0.6, 0.15, 0.25], size=(505, 3)))
    clean = _absorption(torch.from_numpy(z), _TIMES).numpy()
    data = clean + 0.7 * rng.normal(size=clean.shape)
    law = _normal({"ka": (0.0, 0.5), "V": (3.5, 0.3), "CL": (1.0, 0.3)})
    return data, lambda rows: popinv.fit(
        rows, _absorption, law=law, noise="isotropic", times=_TIMES, progress=False
    )


def porous_flow() -> tuple[np.ndarray, Fit]:
    """Return the default study, with its observations in memory."""
    from popinv.config.loading import load_file
    from popinv.population.laws.section import law_values
    from popinv.population.synthetic import parameters

    study = load_file(ROOT / "config/config.yaml").studies["porous_flow"]
    forward, true = study.forward, study.true_law()
    law = true.law(forward)
    from popinv.population.known import Known

    z = parameters(
        law, law_values(true, true.start, forward), 1, "added", 1010, Known.nothing(1010)
    )
    clean = forward.model(1).solve(z).observations
    noise = study.noise.model(forward.observed(1), ())
    rng = np.random.default_rng(3)
    gamma = torch.from_numpy(noise.from_natural(study.synthetic().truth.noise))
    e = torch.from_numpy(rng.standard_normal(clean.shape))
    data = clean + noise.sample(gamma, e).numpy()
    sections = {name: getattr(study, name).model_dump(mode="json") for name in ("law", "noise")}
    section = forward.model_dump(mode="json")
    section["sensors"] = {"positions": forward.observed(1).coordinates[:, 0].tolist()}
    learning = study.active_learning.model_dump(mode="json")
    return data, lambda rows: popinv.fit(
        rows,
        section,
        law=sections["law"],
        noise=sections["noise"],
        active_learning=learning,
        progress=False,
    )


def _boluses(z: torch.Tensor, times: np.ndarray, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    clearance, volume = z[:, :1, None], z[:, 1:, None]
    since = torch.as_tensor(times)[..., None] - inputs["time"][:, None]
    left = torch.exp(-clearance / volume * since.clamp(min=0.0))
    given = torch.where(since >= 0, inputs["amount"][:, None], 0.0)
    return (given / volume * left).sum(dim=2)


def phenobarbital() -> tuple[pd.DataFrame, Fit]:
    """Return 59 infants, each with doses and times of its own."""
    law = _normal({"CL": (-5.0, 0.5), "V": (0.3, 0.5)})
    return pd.read_csv(ROOT / "config/examples/real_data/Phenobarb.csv"), lambda rows: popinv.fit(
        rows,
        _boluses,
        law=law,
        noise="isotropic",
        system_column="Subject",
        time_column="time",
        value_column="conc",
        inputs={"time_column": "time", "amount_column": "dose"},
        progress=False,
    )


STUDIES: dict[str, tuple[Callable[[], tuple[Any, Fit]], tuple[int, ...]]] = {
    "lines": (lines, (10, 100)),
    "theophylline": (theophylline, (5, 50)),
    "porous_flow": (porous_flow, (10,)),
    "phenobarbital": (phenobarbital, (10,)),
}


def _apart(data: Any, count: int) -> tuple[Any, Any]:
    """Return the first systems, and the last ``count``."""
    if not isinstance(data, pd.DataFrame):
        return data[:-count], data[-count:]
    last = data["Subject"].isin(data["Subject"].unique()[-count:])
    return data[~last], data[last]


def _timed(call: Callable[[], popinv.Result]) -> tuple[popinv.Result, float]:
    before = time.process_time()
    return call(), time.process_time() - before


def _with_same_draws(result: popinv.Result) -> np.ndarray:
    """Return the likelihood's maximum from the study's start, with the systems in this order."""
    from popinv.inference.estimators.settings import PolishSettings
    from popinv.inference.stages.maximise_likelihoods import maximise_likelihoods

    last = max(name for name in result.artefacts if name.startswith("estimate_"))
    _, likelihood = maximise_likelihoods(
        result.model,
        PolishSettings(),
        result.observations,
        result.simulator,
        result.artefacts[last],
        result.artefacts["check"],
        seed=1,
        seconds_per_solve=_seconds_per_solve(result),
    )
    return np.asarray(estimate_of(likelihood))


def _seconds_per_solve(result: popinv.Result) -> float:
    """Return the nominal time of a solve in a study of this forward model."""
    return 0.2 * result.model.forward.cost().seconds


def measured(name: str) -> Iterator[dict[str, str]]:
    """Yield the row of each addition to a study."""
    make, counts = STUDIES[name]
    data, fit = make()
    whole, seconds = _timed(lambda: fit(data))
    errors = whole.summary()["standard_error"]
    commit = subprocess.run(
        ["git", "rev-parse", "--short=8", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    for count in counts:
        earlier, later = _apart(data, count)
        first = fit(earlier)
        both, added = _timed(partial(first.add, later))
        apart = (both.summary()["estimate"] - whole.summary()["estimate"]) / errors
        same = (_with_same_draws(both) - estimate_of(both.artefacts["likelihood"])) / np.sqrt(
            np.diag(both.artefacts["likelihood"]["covariance"].values)
        )
        ratio = both.summary()["standard_error"] / errors - 1
        before = (first.summary()["estimate"] - whole.summary()["estimate"]) / errors
        yield {
            "study": name,
            "systems": str(whole.observations.sizes["system"]),
            "added": str(count),
            "largest difference, standard errors": f"{apart.abs().max():.4f}",
            "with the same draws": f"{np.abs(same).max():.4f}",
            "error of the draws": f"{whole.artefacts['likelihood'].attrs['draws_error']:.3f}",
            "without them": f"{before.abs().max():.3f}",
            "difference of standard errors, %": f"{100 * ratio.abs().max():.2f}",
            "difference of the log likelihood": "{:.4f}".format(
                both.metrics["log_likelihood"] - whole.metrics["log_likelihood"]
            ),
            "rerun, s": f"{seconds:.1f}",
            "addition, s": f"{added:.1f}",
            "cost, %": f"{100 * added / seconds:.1f}",
            "p-value": f"{float(both.artefacts['batch']['p_value'][0]):.2f}",
            "commit": commit,
            "machine": cpu_model(),
        }


def main(names: list[str]) -> None:
    """Measure studies, all by default, and replace their rows in the table."""
    names = names or list(STUDIES)
    kept: list[dict[str, str]] = []
    if FILE.exists():
        with FILE.open(newline="", encoding="utf-8") as lines_:
            kept = [row for row in csv.DictReader(lines_) if row["study"] not in names]
    for name in names:
        for row in measured(name):
            print(pd.Series(row).to_string(), flush=True)
            kept.append(row)
    order = list(STUDIES)
    kept.sort(key=lambda row: (order.index(row["study"]), int(row["added"])))
    with FILE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kept[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


if __name__ == "__main__":
    main(sys.argv[1:])
