"""Predictions of systems that a study has not seen: coverage, and the size of the p-value.

    python -m benchmarks.predictions coverage results/porous_flow
    python -m benchmarks.predictions size results/porous_flow
    python -m benchmarks.predictions theophylline results/theophylline

They write docs/tables/data/predictions_coverage.csv, predictions_size.csv and
predictions_nlme.csv.

*Coverage.* Of each of 200 held-out systems a third of the sensors is known, in five random choices
of them. It is counted how often 95 % intervals hold the true parameters, the observations at the
other sensors, and the same without noise. The default study is read from its folder. In the other
study, ``doses``, 60 patients with nine levels each after a dose of their own are fitted, anew for
each choice.

*Size.* 2000 systems are drawn from the true law and noise, with the sensors of one choice; of
``doses``, 200 for each of ten fits, whose errors the p-values average over.

*Theophylline.* Each person is predicted from its own rows, with law and noise fixed, beside the
empirical Bayes estimates of nlme (docs/tables/theophylline.R).
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import popinv
from benchmarks.machine import ROOT, cpu_model
from popinv.api.predictions import table_form
from popinv.inference.answer.result import estimate_of
from popinv.inference.uncertainty.surrogate_bias import solver_residuals
from popinv.methods.posterior.method import Posterior
from popinv.methods.posterior.prediction import Recovered, belonging, error_draws
from popinv.methods.posterior.study import laws_of, told_quantities
from popinv.observation_files.new_systems import new_table
from popinv.population.stages.import_observations import new_observations
from popinv.population.synthetic import parameters
from popinv.sections.tables import text_frame
from popinv.threads import fixed_threads
from popinv.workflow.records import commit_of

DATA = ROOT / "docs/tables/data"
CHOICES, EACH, SIMULATED, LEVELS = 5, 40, 2000, (0.01, 0.05, 0.10)
TIMES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 24.0])
# Logarithms of ka, V and CL: means and deviations; the deviation of the noise.
LAW, SPREAD, NOISE = np.array([0.4, 3.4, 1.0]), np.array([0.5, 0.2, 0.25]), 0.4
PATIENTS, FITS = 60, 10


def level(z: torch.Tensor, times: Any, design: torch.Tensor) -> torch.Tensor:
    """Return the level of a drug after a dose by mouth."""
    ka, volume, clearance = (z[:, i : i + 1] for i in range(3))
    k, t = clearance / volume, torch.as_tensor(times, dtype=z.dtype)
    return design * ka / volume / (ka - k) * (torch.exp(-k * t) - torch.exp(-ka * t))


def patients(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters, doses, levels without noise, and levels."""
    rng = np.random.default_rng(seed)
    z = np.exp(LAW + SPREAD * rng.standard_normal((count, 3)))
    dose = rng.uniform(200.0, 400.0, (count, 1))
    clean = level(torch.from_numpy(z), TIMES, torch.from_numpy(dose)).numpy()
    return z, dose, clean, clean + NOISE * rng.standard_normal(clean.shape)


def doses(seed: int = 1) -> popinv.Result:
    """Return the fit of 60 patients."""
    _, dose, _, y = patients(PATIENTS, seed)
    start = {
        name: {"mean": float(mean), "standard_deviation": 0.4}
        for name, mean in zip(("ka", "V", "CL"), LAW, strict=True)
    }
    return popinv.fit(
        y,
        level,
        law={"kind": "lognormal", "start": start},
        noise="isotropic",
        parameters=["ka", "V", "CL"],
        design=["dose"],
        known={"dose": dose[:, 0]},
        times=TIMES,
        tests=False,
        progress=False,
    )


def choices(width: int) -> Iterator[np.ndarray]:
    """Yield masks of a third of the sensors."""
    rng = np.random.default_rng(7)
    for _ in range(CHOICES):
        yield np.isin(np.arange(width), rng.permutation(width)[: -(-width // 3)])


def covered(
    fits: Sequence[popinv.Result],
    z: np.ndarray,
    clean: np.ndarray,
    y: np.ndarray,
    told: Callable[[np.ndarray], np.ndarray],
    known: Mapping[str, np.ndarray],
) -> dict[str, list[float]]:
    """Return the shares of what 95 % intervals hold, a list with one for each choice.

    The fits take turns.
    """
    found: dict[str, list[float]] = {"parameters": [], "observed": [], "signal": []}
    for i, seen in enumerate(choices(y.shape[1])):
        rows = slice(EACH * i, EACH * (i + 1))
        data = np.where(seen, y[rows], np.nan)
        of_rows = {name: values[rows] for name, values in known.items()}
        new = fits[i % len(fits)].predict(data, known=of_rows, seed=i)
        true = told(z[rows])
        varies = new["deviation"].values.mean(axis=0) > 1e-9
        inside = (new["lower"].values <= true) & (true <= new["upper"].values)
        found["parameters"].append(float(inside[:, varies].mean()))
        for name, values in (("observed", y[rows]), ("signal", clean[rows])):
            low, high = (new[f"{name}_{end}"].values for end in ("lower", "upper"))
            found[name].append(float(((low <= values) & (values <= high))[:, ~seen].mean()))
        print(i, {name: round(each[-1], 3) for name, each in found.items()}, flush=True)
    return found


def coverage(folder: str) -> None:
    """Write the coverage in both studies."""
    rows = []
    count = CHOICES * EACH
    fits = [doses(100 + i) for i in range(CHOICES)]
    z, dose, clean, y = patients(count, 2)
    begun = time.perf_counter()
    shares = {"doses": covered(fits, z, clean, y, lambda z: z, {"dose": dose[:, 0]})}
    seconds = {"doses": time.perf_counter() - begun}
    result = popinv.load(folder)
    truth, of = result.artefacts["truth"], result.observations
    first = of.sizes["system"]
    last = slice(first, first + count)
    told = told_quantities(result.model.forward, result.model.law)
    begun = time.perf_counter()
    y = of["y_heldout"].values[:count]
    shares["default"] = covered(
        [result], truth["z"].values[last], truth["y_clean"].values[last], y, told.of, {}
    )
    seconds["default"] = time.perf_counter() - begun
    for study, found in shares.items():
        for what, each in found.items():
            error = np.std(each, ddof=1) / np.sqrt(len(each))
            rows.append(
                {
                    "study": study,
                    "of": what,
                    "systems": count,
                    "coverage, %": f"{100 * np.mean(each):.1f}",
                    "its error, %": f"{100 * error:.1f}",
                    "seconds a system": f"{seconds[study] / count:.2f}",
                }
            )
    _write("predictions_coverage", rows)


def size(folder: str) -> None:
    """Write the share of p-values below each level, of systems of the true population."""
    rng = np.random.default_rng(11)
    z = torch.from_numpy(np.exp(LAW + SPREAD * rng.standard_normal((SIMULATED, 3))))
    dose = np.full((SIMULATED, 1), 300.0)
    y = level(z, TIMES, torch.from_numpy(dose)).numpy()
    y = y + NOISE * rng.standard_normal(y.shape)
    each = SIMULATED // FITS
    fits = [(doses(100 + i), y[i * each : (i + 1) * each]) for i in range(FITS)]
    rows = _sizes("doses", fits, {"dose": dose[:each, 0]})
    result = popinv.load(folder)
    truth = result.artefacts["truth"]
    drawn = parameters(result.law, truth["alpha"].values, 11, "size", SIMULATED)
    clean = result.model.forward.model(1).solve(drawn).observations
    factor = np.linalg.cholesky(truth["noise_covariance"].values)
    y = clean + rng.standard_normal(clean.shape) @ factor.T
    _write("predictions_size", [*rows, *_sizes("default", [(result, y)], {})])


def _sizes(
    study: str,
    fits: Sequence[tuple[popinv.Result, np.ndarray]],
    known: Mapping[str, np.ndarray],
) -> list[dict[str, str]]:
    """Return the sizes with a third of the sensors, with few and with all of them."""
    width = fits[0][1].shape[1]
    third = next(choices(width))
    few = np.isin(np.arange(width), np.flatnonzero(third)[:2])
    rows = []
    for told, seen in (("two", few), ("a third", third), ("all", np.ones(width, dtype=bool))):
        p_values = np.concatenate(
            [_p_values(result, np.where(seen, y, np.nan), known) for result, y in fits]
        )
        shares = {f"below {a:.0%}, %": f"{100 * np.mean(p_values <= a):.2f}" for a in LEVELS}
        rows.append({"study": study, "sensors": told, "systems": str(len(p_values)), **shares})
        print(rows[-1], flush=True)
    return rows


def _p_values(result: popinv.Result, y: np.ndarray, known: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the p-values of systems with observations y, without their posteriors."""
    form, model, own = table_form(result), result.model, int(result.population.attrs["seed"])
    frame = pd.DataFrame(y, columns=list(form.names)).assign(**known)
    table = new_table(form, text_frame(frame))
    read = form.read(table, model.forward.observed(own))
    observations = new_observations(
        read, model.forward, model.law, model.noise, table.section, seed=own
    )
    check = result.artefacts["check"]
    recovered = Recovered(model, result.simulator, result.population, check, own, 1)
    problem, p = recovered.problem(observations), estimate_of(result.population)
    laws, residuals = laws_of(result.population, Posterior()), solver_residuals(problem, check)
    laws, errors = error_draws(p, laws, residuals, 1)
    with fixed_threads():
        return belonging(problem, p, laws, errors)


def theophylline(folder: str) -> None:
    """Write the modes of twelve people beside the empirical Bayes estimates of nlme."""
    result = popinv.load(folder)
    data = pd.read_csv(ROOT / "config/examples/real_data/Theoph.csv")
    peer = pd.read_csv(DATA / "studies/theophylline_nlme.csv", dtype={"system": str})
    peer, rows = peer.set_index("system"), []
    # Everyone is predicted alone, from its own rows.
    for name, own in data.groupby("Subject"):
        new = result.predict(own, law_and_noise="fixed")
        for j, parameter in enumerate(map(str, new["parameter"].values)):
            mode, deviation = (float(new[key].values[0, j]) for key in ("mode", "deviation"))
            theirs = float(peer[parameter].loc[str(name)])
            rows.append(
                {
                    "system": str(name),
                    "parameter": parameter,
                    "mode": f"{mode:.4f}",
                    "nlme": f"{theirs:.4f}",
                    "difference, posterior deviations": f"{(mode - theirs) / deviation:.4f}",
                    "p-value": f"{float(new['p_value'].values[0]):.3f}",
                }
            )
            print(rows[-1], flush=True)
    _write("predictions_nlme", rows)


def _write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the commit and the machine."""
    made = {"commit": commit_of(Path(__file__), "docs/tables/data"), "machine": cpu_model()}
    with (DATA / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *made], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **made} for row in rows)


if __name__ == "__main__":
    {"coverage": coverage, "size": size, "theophylline": theophylline}[sys.argv[1]](sys.argv[2])
