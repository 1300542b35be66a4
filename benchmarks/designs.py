"""Designs of experiments: predicted standard errors against fits of simulated data.

    python -m benchmarks.designs curves 200
    python -m benchmarks.designs doses 120
    python -m benchmarks.designs porous 48
    python -m benchmarks.designs porous_noise 100 48

    python -m benchmarks.designs poped
    python -m benchmarks.designs table

The first five write docs/tables/data/designs_STUDY.csv, and the last one designs.csv, in which the
data sets of *porous* and *porous_noise* are pooled; the page on designs shows designs.csv and
designs_poped.csv. In three studies, the chosen design and the regular
one are observed in many synthetic populations, and each is fitted by the marginal likelihood from
the truth on. The root mean square errors are compared with the predicted standard errors: by
linearisation, as the search has them, and by the scores of simulated systems, as users see them.

- *curves*: 100 logistic curves of three lognormal parameters, observed at 4 of 24 times.
- *doses*: 60 patients with a dose by mouth of 100, 200 or 400 mg, 4 of 16 times, combined error.
- *porous*: the default study with 200 samples and 10 of its 50 sensors, chosen for the length of
  the permeability and for the length of the noise. The data come from the solver, and the fits use
  the surrogate that the design trained. *porous_noise* adds data sets, from number 48 on, for the
  length of the noise.

*poped* computes the relative standard errors of PopED's example of warfarin (article "Comparing
PopED and NONMEM", and ex.2.a.warfarin.evaluate.R; the design of Nyberg et al., Br. J. Clin.
Pharmacol. 79, 2015), which PopED prints.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import popinv
from benchmarks.machine import ROOT
from benchmarks.measured_rows import DATA, write_rows
from popinv.api.design import PlannedDesign
from popinv.config.loading import load
from popinv.errors import PopinvError
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.uncertainty.standard_errors import simulated
from popinv.planning.check import observed_problem
from popinv.planning.design import DesignRow
from popinv.planning.information import local_moments
from popinv.population.laws.gaussian import lognormal_law
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.threads import fixed_threads

CODE = """
import torch


def logistic(z, times):
    t = torch.as_tensor(times)
    return z[:, :1] / (1 + torch.exp((z[:, 1:2] - t) / z[:, 2:3]))


def level(z, design, times):
    ka, volume, clearance = (z[:, i : i + 1] for i in range(3))
    k, t = clearance / volume, torch.as_tensor(times)
    return design * ka / volume / (ka - k) * (torch.exp(-k * t) - torch.exp(-ka * t))
"""
CURVES: dict[str, Any] = {
    "forward": {
        "kind": "python",
        "function": "designs_models:logistic",
        "path": "build/designs",
        "derivatives": "torch",
        "parameters": ["height", "middle", "width"],
        "observations": {"times": {"first": 0.5, "step": 0.5, "count": 24}},
    },
    "law": {
        "kind": "lognormal",
        "start": {
            "height": {"mean": 1.0, "standard_deviation": 0.2},
            "middle": {"mean": 1.6, "standard_deviation": 0.2},
            "width": {"mean": 0.0, "standard_deviation": 0.3},
        },
    },
    "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.1}},
    "surrogate": {"kind": "none"},
}
DOSES: dict[str, Any] = {
    "forward": {
        "kind": "python",
        "function": "designs_models:level",
        "path": "build/designs",
        "derivatives": "torch",
        "parameters": ["ka", "volume", "clearance"],
        "design": ["dose"],
        "observations": {
            "times": [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24],
        },
    },
    "law": {
        "kind": "lognormal",
        "start": {
            "ka": {"mean": 0.4, "standard_deviation": 0.5},
            "volume": {"mean": 3.4, "standard_deviation": 0.2},
            "clearance": {"mean": 1.0, "standard_deviation": 0.25},
        },
    },
    "noise": {
        "kind": "isotropic",
        "errors": {"grows": "combined", "proportional": 0.1},
        "start": {"standard_deviation": 0.2},
    },
    "surrogate": {"kind": "none"},
}
KNOWN = {"dose": {"uniform": [100, 400]}}


@dataclass(frozen=True)
class Planned:
    """A design, with the parameter it is for, in words."""

    wanted: str
    plan: PlannedDesign


def planned(study: str) -> list[Planned]:
    """Return the designs of a study."""
    folder = ROOT / "build" / "designs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "designs_models.py").write_text(CODE)
    common: dict[str, Any] = {"checked": 8000}
    if study == "curves":
        config = _synthetic(CURVES)
        return [Planned("all", popinv.design(config, sensors=4, systems=100, **common))]
    if study == "doses":
        config = _synthetic(DOSES, KNOWN)
        choices = {"dose": [100.0, 200.0, 400.0]}
        plan = popinv.design(config, sensors=4, systems=60, choices=choices, **common)
        return [Planned("all", plan)]
    from popinv.config.loading import load_file

    default = load_file(ROOT / "config" / "config.yaml").studies["porous_flow"]
    return [
        Planned(name, popinv.design(default, sensors=10, systems=200, parameters=name, **common))
        for name in (("noise_length",) if study == "porous_noise" else ("length", "noise_length"))
    ]


def _synthetic(section: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> Any:
    """Return a study whose start is its truth."""
    noise = dict(section["noise"]["start"])
    errors = section["noise"].get("errors")
    if errors:
        noise["proportional"] = errors["proportional"]
    observations = {"truth": {"law": section["law"]["start"], "noise": noise}}
    study = {**section, "observations": {**observations, **({"known": known} if known else {})}}
    return load({"studies": {"study": study}}).studies["study"]


class Populations:
    """Synthetic populations that observe a row's design, and their fits."""

    def __init__(self, plan: PlannedDesign, row: DesignRow, solver: Any) -> None:
        self.experiment, self.row = plan.design.experiment, row
        self.parts = [observed_problem(self.experiment, g, row.replicates) for g in row.groups]
        true = self.experiment
        if solver is not None:
            true = replace(true, problem=replace(true.problem, simulate=solver))
        self.truths = [observed_problem(true, g, row.replicates) for g in row.groups]

    def fitted(self, number: int) -> np.ndarray:
        """Return the estimate from one population."""
        p = self.experiment.p
        drawn = [
            simulated(replace(problem, stage=f"set/{i}"), p, group.systems, f"{number}")
            for i, (problem, group) in enumerate(zip(self.truths, self.row.groups, strict=True))
        ]
        problem = _joined(
            [replace(d, simulate=o.simulate) for d, o in zip(drawn, self.parts, strict=True)]
        )
        problem = replace(problem, stage=f"fit/{number}")
        return fit_marginal_likelihood(problem, p, rough=True).p


def _joined(parts: list[Problem]) -> Problem:
    """Return one problem of groups that share their places."""
    if len(parts) == 1:
        return parts[0]
    from popinv.inference.density.conditions import Conditions
    from popinv.population.known import Known

    data = np.concatenate([part.data for part in parts])
    known = Known(
        torch.cat([part.known.design for part in parts]),
        torch.cat([part.known.covariates for part in parts]),
    )
    return replace(parts[0], data=data, conditions=Conditions.stated(data.shape, known=known))


def measured(study: str, sets: int, first: int = 0) -> list[dict[str, Any]]:
    """Return a row for each parameter of each design, of data sets from a number on."""
    rows = []
    for each in planned(study):
        plan, design = each.plan, each.plan.design
        print(plan.told(), flush=True)
        solver = (
            SolverSimulator(plan.model.forward.model(1)) if study.startswith("porous") else None
        )
        found: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for name, row, checked in (
            ("chosen", design.chosen, design.checked.errors),
            ("regular", design.regular, design.checked.regular),
        ):
            if checked is None:
                raise RuntimeError(f"{study}, {name}: {design.checked.reason}")
            populations, errors, failed = Populations(plan, row, solver), [], 0
            for number in tqdm(range(first, first + sets), desc=f"{study}, {each.wanted}, {name}"):
                try:
                    errors.append(populations.fitted(number) - design.experiment.p)
                except PopinvError as error:
                    failed += 1
                    print(f"set {number}: {error}", flush=True)
            array = np.array(errors)
            found[name] = array, row.errors, checked
            square = (array**2).mean(axis=0)
            for i, parameter in enumerate(design.experiment.names):
                rms = np.sqrt(square[i])
                spread = (array[:, i] ** 2).std(ddof=1) / np.sqrt(len(array)) / (2 * square[i])
                rows.append(
                    {
                        "study": study,
                        "wanted": each.wanted,
                        "design": name,
                        "parameter": parameter,
                        "linearised": f"{row.errors[i]:.4f}",
                        "predicted": f"{checked[i]:.4f}",
                        "fitted": f"{rms:.4f}",
                        "mean error": f"{array[:, i].mean():.4f}",
                        "fitted over predicted": f"{rms / checked[i]:.2f}",
                        "its error": f"{spread * rms / checked[i]:.2f}",
                        "data sets": len(array),
                        "failed": failed,
                    }
                )
                print(rows[-1], flush=True)
    return rows


# PopED's percentages for the clearance, the volume, the rate of absorption, the variances of their
# logarithms, and the variance of the proportional error.
POPED = (4.738266, 2.756206, 13.925829, 25.627205, 30.344316, 25.777327, 11.170784)
WARFARIN_TIMES = (0.5, 1, 2, 6, 24, 36, 72, 120)


def poped() -> list[dict[str, Any]]:
    """Return the relative standard errors of PopED's example, beside the published ones."""
    times = torch.tensor(WARFARIN_TIMES, dtype=torch.float64)

    def level(z: torch.Tensor) -> torch.Tensor:
        clearance, volume, ka = (z[:, i : i + 1] for i in range(3))
        k = clearance / volume
        return 70 * ka / (volume * (ka - k)) * (torch.exp(-k * times) - torch.exp(-ka * times))

    law, noise = lognormal_law(["CL", "V", "KA"]), IsotropicNoise(len(times))
    problem = Problem(
        np.zeros((1, len(times))), level, law, Noise(noise, Size("proportional")), np.ones(7)
    )
    deviations = 0.5 * np.log([0.07, 0.02, 0.6])
    p = np.concatenate([np.log([0.15, 8.0, 1.0]), deviations, [np.log(0.1)]])
    typical = local_moments(problem, p, torch.zeros(1, 3, dtype=torch.float64))
    (information,) = typical.information(np.arange(len(times))[None])
    errors = np.sqrt(np.diag(np.linalg.inv(32 * information)))
    # The relative error of a variance is twice that of its root.
    percent = 100 * errors * [1, 1, 1, 2, 2, 2, 2]
    told = (
        "CL",
        "V",
        "KA",
        "variance of CL",
        "variance of V",
        "variance of KA",
        "variance of noise",
    )
    return [
        {"parameter": name, "PopED, %": f"{theirs:.4f}", "popinv, %": f"{ours:.4f}"}
        for name, theirs, ours in zip(told, POPED, percent, strict=True)
    ]


def table() -> list[dict[str, Any]]:
    """Return a row for each design of the measured files."""
    rows = []
    for study, systems in (("curves", 100), ("doses", 60), ("porous", 200)):
        every = _pooled(sorted(DATA.glob(f"designs_{study}*.csv")))
        for wanted in dict.fromkeys(row["wanted"] for row in every):
            of_plan = [row for row in every if row["wanted"] == wanted]
            chosen, regular = (
                [row for row in of_plan if row["design"] == name] for name in ("chosen", "regular")
            )
            ratios, linear = (
                [float(row["fitted"]) / float(row[key]) for row in chosen]
                for key in ("predicted", "linearised")
            )
            gains = {
                key: _gain(
                    [row[key] for row in regular], [row[key] for row in chosen], wanted, chosen
                )
                for key in ("predicted", "fitted")
            }
            rows.append(
                {
                    "study": study,
                    "systems": systems,
                    "chosen for": wanted.replace("_", " "),
                    "data sets": chosen[0]["data sets"],
                    "fitted over predicted": f"{min(ratios):.2f} to {max(ratios):.2f}",
                    "error of a ratio": f"{np.mean([float(r['its error']) for r in chosen]):.2f}",
                    "fitted over linearised": f"{min(linear):.2f} to {max(linear):.2f}",
                    "regular over chosen, predicted": f"{gains['predicted']:.2f}",
                    "regular over chosen, fitted": f"{gains['fitted']:.2f}",
                    "measured at": chosen[0]["commit"],
                }
            )
    return rows


def _pooled(files: Sequence[Path]) -> list[dict[str, str]]:
    """Return the rows of files, with the data sets of the same design and parameter together."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = tuple(row[name] for name in ("wanted", "design", "parameter"))
                found.setdefault(key, []).append(row)
    pooled = []
    for rows in found.values():
        count = np.array([int(row["data sets"]) for row in rows])
        square = np.array([float(row["fitted"]) ** 2 for row in rows])
        # The relative error of a root mean square is half that of the mean square.
        ratio = np.array([float(row["fitted"]) / float(row["predicted"]) for row in rows])
        spread = 2 * np.array([float(row["its error"]) for row in rows]) / ratio * square
        mean = (count * square).sum() / count.sum()
        error = np.sqrt(((count * spread) ** 2).sum()) / count.sum() / (2 * mean)
        fitted = float(np.sqrt(mean))
        own = rows[0] | {
            "fitted": f"{fitted:.4f}",
            "its error": f"{error * fitted / float(rows[0]['predicted']):.2f}",
            "data sets": str(count.sum()),
        }
        pooled.append(own)
    return pooled


def _gain(regular: list[str], chosen: list[str], wanted: str, rows: list[dict[str, str]]) -> float:
    """Return the ratio of the errors of what is wanted; of all parameters, the geometric mean."""
    logs = np.log(np.array(regular, dtype=float) / np.array(chosen, dtype=float))
    own = [wanted in ("all", row["parameter"]) for row in rows]
    return float(np.exp(logs[own].mean()))


if __name__ == "__main__":
    if sys.argv[1] == "table":
        write_rows("designs", table())
        sys.exit()
    if sys.argv[1] == "poped":
        write_rows("designs_poped", poped())
        sys.exit()
    with fixed_threads():
        write_rows(f"designs_{sys.argv[1]}", measured(sys.argv[1], *map(int, sys.argv[2:])))
