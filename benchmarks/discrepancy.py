"""A simulator that errs alike in every system: known errors, none, and held-out systems.

    python -m benchmarks.discrepancy PART...    # writes docs/tables/data/discrepancy_PART.csv

- ``recovery``: a baseline that drifts, so that all observations have an error of known size. 25
  data sets of 100 systems, fitted without a discrepancy and with one.
- ``right``: the same systems with a right simulator, 100 data sets by a free error, 40 by a smooth
  one.
- ``own``: lines with an error of each system, by one or two replicates, 40 data sets each.
- ``confounded``: damped oscillations, whose parameters explain much of an error, with errors unlike
  the prior of each discrepancy: a local bump, a step and a constant, 5 data sets of 80 systems.
- ``valves``: the answers of ``popinv run config/examples/late_valves.yaml``, which ran before.
- ``unlike``: tanks as in this example with an error that looks like larger first pressures, 10 data
  sets.
- ``scores``: log densities of held-out systems of real data, by folds whose answers never saw them.
- ``porous``: 100 porous samples with sensors at places of their own, and scores of 200 others,
  for a right simulator and for one that errs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from benchmarks.machine import ROOT, confine

if __name__ == "__main__":
    confine()

import numpy as np
import pandas as pd
import torch
import yaml

import popinv
from benchmarks.measured_rows import write_rows
from popinv.config.loading import load
from popinv.inference.answer.discrepancy_bands import discrepancy_dataset
from popinv.inference.answer.result import estimate_dataset, estimate_of
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.conditions import heldout_observations
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.discrepancy_size import WIDENS, settled, with_uncertain_size
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.uncertainty.intervals import intervals
from popinv.judgement.files import read_metrics
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.model import Model
from popinv.population.noise.discrepancy import PREFIX, OwnDiscrepancy, SharedDiscrepancy
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.stages.draw_population import draw_population
from popinv.population.synthetic_observed import observed_systems

MODELS: dict[str, str | None] = {"none": "", "free": None, "smooth": "matern52"}


def decay(z: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the concentration at the times, for rate and size (n, 2)."""
    return z[:, 1:2] * torch.exp(-z[:, 0:1] * times)


def oscillation(z: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the deflection at the times, for decay, frequency and amplitude (n, 3)."""
    return z[:, 2:3] * torch.exp(-z[:, 0:1] * times) * torch.cos(z[:, 1:2] * times)


@dataclass(frozen=True)
class Population:
    """Systems of which all observations have an error.

    Attributes
    ----------
    truth, start : ndarray of shape (2 k,)
        Means of the logarithms of k parameters, and logarithms of their deviations.
    noise, first_noise : float
        Standard deviation, and its start.
    """

    names: tuple[str, ...]
    signal: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    times: np.ndarray
    truth: np.ndarray
    start: np.ndarray
    noise: float
    first_noise: float
    count: int

    def simulate(self, z: torch.Tensor) -> torch.Tensor:
        """Return the signals (n, d_y)."""
        return self.signal(z, torch.from_numpy(self.times))

    def noise_of(self, model: str) -> Noise:
        """Return the noise of a model: without a discrepancy, or with one."""
        plain, kernel = IsotropicNoise(len(self.times)), MODELS[model]
        if kernel == "":
            return Noise(plain)
        return Noise(plain, shared=SharedDiscrepancy(self.times[:, None], kernel))

    def systems(self, seed: int, bias: np.ndarray) -> np.ndarray:
        """Return observations of new systems with this error of the simulator."""
        rng, k = np.random.default_rng(seed), len(self.names)
        z = self.truth[:k] + np.exp(self.truth[k:]) * rng.standard_normal((self.count, k))
        clean = self.simulate(torch.from_numpy(np.exp(z))).numpy()
        return np.asarray(clean + bias + self.noise * rng.standard_normal(clean.shape))

    def problem_of(self, data: np.ndarray, noise: Noise, seed: int) -> Problem:
        """Return the problem of these observations."""
        law = lognormal_law(list(self.names))
        first = len(law.names)
        return Problem(
            data,
            self.simulate,
            law,
            noise,
            np.full(first + len(noise.names), 0.5),
            seed=seed,
            stage="discrepancy",
            fixed=tuple(first + i for i in noise.sizes_of_discrepancy),
        )


COUNT = 100
DECAYS = Population(
    *(("rate", "size"), decay, np.linspace(0.5, 8.0, 12)),
    np.array([-0.8, 1.0, np.log(0.25), np.log(0.3)]),
    np.array([-0.5, 0.5, np.log(0.4), np.log(0.4)]),
    *(0.05, 0.1, COUNT),
)
OSCILLATIONS = Population(
    *(("decay", "frequency", "amplitude"), oscillation, np.linspace(0.25, 6.0, 24)),
    np.log([0.3, 2.0, 1.0, 0.3, 0.1, 0.2]),
    np.log([0.4, 2.2, 1.2, 0.4, 0.2, 0.4]),
    *(0.1, 0.2, 80),
)
# The drift of the baseline, up to three standard deviations of the noise.
BIAS = 0.15 * np.sin(DECAYS.times / 1.5)
UNLIKE: dict[str, np.ndarray] = {
    "bump": 0.15 * np.exp(-(((OSCILLATIONS.times - 3.0) / 0.6) ** 2) / 2),
    "step": 0.15 * (OSCILLATIONS.times > 3.0),
    "constant": np.full(len(OSCILLATIONS.times), 0.15),
}


def fitted(problem: Problem, of: Population) -> Estimate:
    """Return the maximum of the likelihood, with the size of the discrepancy by the evidence."""
    noise = problem.noise.from_natural({"standard_deviation": of.first_noise})
    start = np.concatenate([of.start, noise])
    first = fit_pseudo_likelihood(problem, [start])
    first = settled(problem, first, lambda p: fit_pseudo_likelihood(problem, [p]))
    # The value of the likelihood itself is not needed.
    settings = MarginalSettings(new_value=False)
    best = fit_marginal_likelihood(problem, first.p, settings)
    return with_uncertain_size(problem, best)


def answer_of(problem: Problem, estimate: Estimate) -> Any:
    """Return the answer with the ends of all intervals."""
    answer = estimate_dataset(problem, estimate)
    for part, (low, high) in intervals(problem, answer).items():
        answer[f"{part}_lower"] = (f"{part}_parameter", low)
        answer[f"{part}_upper"] = (f"{part}_parameter", high)
    return answer.merge(discrepancy_dataset(problem, answer))


def judged(model: str, seed: int, bias: np.ndarray, of: Population = DECAYS) -> dict[str, Any]:
    """Return how far the answer of a data set is from the truth, and what its intervals hold."""
    problem = of.problem_of(of.systems(seed, bias), of.noise_of(model), seed)
    answer = answer_of(problem, fitted(problem, of))
    true = problem.law.to_natural(of.truth)
    errors = np.sqrt(np.diag(answer["covariance"].values))
    shifts = (answer["alpha"].values - of.truth) / errors[: len(of.truth)]
    held = (answer["law_lower"].values <= true) & (true <= answer["law_upper"].values)
    row: dict[str, Any] = {"model": model, "seed": seed}
    row["first"] = round(float(np.expm1(answer["alpha"].values[0] - of.truth[0])), 5)
    names = problem.law.names
    row |= {f"shift_{name}": round(float(v), 4) for name, v in zip(names, shifts, strict=True)}
    row |= {f"holds_{name}": int(v) for name, v in zip(names, held, strict=True)}
    row["noise"] = round(float(answer["noise"].values[0]), 5)
    row |= dict.fromkeys(("amplitude", "pointwise", "joint", "error", "limit", "confounded"), "")
    if "discrepancy" in answer:
        low, high, joint_low, joint_high = (
            answer[f"discrepancy_{end}"].values
            for end in ("lower", "upper", "joint_lower", "joint_upper")
        )
        row["amplitude"] = round(float(answer["noise"].values[1]), 5)
        row["pointwise"] = round(float(((low <= bias) & (bias <= high)).mean()), 4)
        row["joint"] = int(((joint_low <= bias) & (bias <= joint_high)).all())
        row["error"] = round(float(np.sqrt(((answer["discrepancy"].values - bias) ** 2).mean())), 5)
        row["limit"] = int(answer.attrs["discrepancy_length_limit"])
        row["confounded"] = sum(name.startswith(WIDENS) for name in answer.attrs)
    return row


def repeated(sets: int, bias: np.ndarray, models: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the judgements of many data sets."""
    for model in models:
        for seed in range(sets):
            row = judged(model, seed, bias)
            print(row, flush=True)
            yield row


def recovery() -> list[dict[str, Any]]:
    """Return the rows of a known error."""
    return list(repeated(25, BIAS, list(MODELS)))


def right() -> list[dict[str, Any]]:
    """Return the rows of a right simulator."""
    sets = (("free", 100), ("smooth", 40))
    return [row for model, count in sets for row in repeated(count, 0 * BIAS, [model])]


def confounded() -> list[dict[str, Any]]:
    """Return the rows of errors unlike the prior, with a law that explains a part of them.

    A row also has the relative error of the median of the decay, whether the length of the kernel
    is at a limit, and how many parameters are listed as confounded.
    """
    rows = []
    for name, bias in UNLIKE.items():
        for model in MODELS:
            for seed in range(5):
                row = {"data": name} | judged(model, seed, bias, OSCILLATIONS)
                print(row, flush=True)
                rows.append(row)
    return rows


def _line(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


def _growth(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    top, first, rate = z[:, :1], z[:, 1:2], z[:, 2:]
    return top + (first - top) * torch.exp(-torch.exp(rate) * torch.as_tensor(times))


def _starts(**pairs: tuple[float, float]) -> dict[str, Any]:
    return {n: {"mean": m, "standard_deviation": s} for n, (m, s) in pairs.items()}


REAL: dict[str, tuple[Callable[..., Any], dict[str, Any], tuple[str, str]]] = {
    # Heights of boys by age, and of pines: Oxboys of R's package nlme, and Loblolly of R.
    "Oxboys": (
        _line,
        {
            "kind": "normal",
            "correlations": True,
            "start": _starts(intercept=(150.0, 10.0), slope=(5.0, 3.0)),
        },
        ("Subject", "age"),
    ),
    "Loblolly": (
        _growth,
        {
            "kind": "normal",
            "start": _starts(top=(100.0, 5.0), first=(-8.5, 0.0), rate=(-3.2, 0.0)),
        },
        ("Seed", "age"),
    ),
}


def _from_start(problem: Problem, p: np.ndarray) -> Estimate:
    return fit_pseudo_likelihood(problem, [p])


def held_out(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return the log density of each system (N,) without it, and with a size without it."""
    found, every = [], np.arange(len(problem.data))
    for system in every:
        rest = problem.of_systems(np.delete(every, system))
        first = fit_pseudo_likelihood(rest, [p])
        first = settled(rest, first, partial(_from_start, rest))
        answer = fit_marginal_likelihood(rest, first.p).p
        one = problem.of_systems(np.array([system]))
        near = likelihood_near(one, answer, MarginalSettings(draws=1024))
        found.append(float(near.here.log_likelihood[0]))
    return np.array(found)


def with_shared(noise: dict[str, Any], kernel: str | None) -> dict[str, Any]:
    """Return a section of noise with the shared error of one of the models."""
    if kernel == "":
        return noise
    return {**noise, "discrepancy": {"shared": "free" if kernel is None else {"kernel": kernel}}}


def scores() -> list[dict[str, Any]]:
    """Return the log scores of held-out systems of real data, a row for each system."""
    rows = []
    for name, (simulator, law, (system, time)) in REAL.items():
        data = pd.read_csv(ROOT / f"config/examples/real_data/{name}.csv")
        for model, kernel in MODELS.items():
            noise = {"kind": "isotropic", "start": {"standard_deviation": 1.0}}
            result = popinv.fit(
                data,
                simulator,
                law=law,
                noise=with_shared(noise, kernel),
                parameters=list(law["start"]),
                system_column=system,
                time_column=time,
                value_column="height",
                tests=False,
                progress=False,
            )
            found = held_out(result.problem, estimate_of(result.population))
            print(name, model, found.sum(), flush=True)
            rows += [
                {"data": name, "model": model, "system": n, "score": round(float(value), 5)}
                for n, value in enumerate(found)
            ]
    return rows


def own() -> list[dict[str, Any]]:
    """Return how well the error of each system is told apart from the noise, a row a data set."""
    rows, places = [], np.linspace(0.0, 1.0, 12)
    distance = np.abs(places[:, None] - places)
    true = {"standard_deviation": 0.1, f"{PREFIX}_own_amplitude": 0.15, f"{PREFIX}_own_length": 0.2}
    root = np.linalg.cholesky(0.15**2 * np.exp(-(distance**2) / 0.08) + 1e-12 * np.eye(12))
    law, at = normal_law(["intercept", "slope"]), torch.from_numpy(places)
    process = KernelNoise(places[:, None], "squared_exponential", nugget=False)
    alpha = np.array([1.0, -0.5, np.log(0.8), np.log(0.5)])

    def line(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1] + z[:, 1:] * at

    for replicates in (1, 2):
        noise = Noise(IsotropicNoise(12), own=OwnDiscrepancy(process), replicates=replicates)
        for seed in range(40):
            rng = np.random.default_rng([seed, replicates])
            z = alpha[:2] + np.exp(alpha[2:]) * rng.standard_normal((COUNT, 2))
            clean = line(torch.from_numpy(z)).numpy() + rng.standard_normal((COUNT, 12)) @ root.T
            data = np.tile(clean, replicates)
            data = data + 0.1 * rng.standard_normal(data.shape)
            problem = Problem(
                *(data, replicated_simulator(line, replicates), law, noise, np.full(7, 0.5)),
                seed=seed,
            )
            start = np.concatenate([alpha, noise.from_natural({n: 0.3 for n in true})])
            best = fit_marginal_likelihood(problem, fit_pseudo_likelihood(problem, [start]).p)
            answer = answer_of(problem, best)
            row: dict[str, Any] = {"replicates": replicates, "seed": seed}
            for i, (name, value) in enumerate(true.items()):
                ends = (float(answer[f"noise_{end}"].values[i]) for end in ("lower", "upper"))
                low, high = ends
                row[name] = round(float(answer["noise"].values[i]), 5)
                row[f"holds_{name}"] = int(low <= value <= high)
            print(row, flush=True)
            rows.append(row)
    return rows


def valves() -> list[dict[str, Any]]:
    """Return the answers of the example study, a row for each of its models."""
    results = ROOT / "results"
    compared = read_metrics(results / "comparisons/valves/comparison.json")["models"]
    rows = []
    for model in MODELS:
        study = f"valves_{'right' if model == 'none' else model}"
        numbers, own = read_metrics(results / study / "metrics.json"), compared[study]
        row: dict[str, Any] = {"model": model}
        for name in ("first_median", "rate_median"):
            for end in ("", "_lower", "_upper"):
                row[f"{name}{end}"] = round(numbers[f"summary_{name}{end}"], 5)
        row["noise"] = round(numbers["noise_standard_deviation"], 5)
        row |= {key: own[key] for key in ("parameters", "aic", "score")}
        row["gain"] = numbers.get("discrepancy_gain", "")
        rows.append(row)
    return rows


def unlike() -> list[dict[str, Any]]:
    """Return the first pressures of tanks whose error is unlike its prior, by each model."""
    sys.path.insert(0, str(ROOT / "config/examples/late_valves"))
    from simulator import solve

    text = (ROOT / "config/examples/late_valves.yaml").read_text(encoding="utf-8")
    study = yaml.safe_load(text)["studies"]["valves_right"]
    times, rows = np.array(study["forward"]["observations"]["times"]), []

    error = 0.3 * np.exp(-((times / 1.5) ** 2))
    for seed in range(10):
        rng = np.random.default_rng([47, seed])
        z = np.array([3.0, 0.5]) * np.exp(np.array([0.2, 0.3]) * rng.standard_normal((120, 2)))
        clean = solve(torch.from_numpy(z), times).numpy()
        seen = clean + error + 0.05 * rng.standard_normal(clean.shape)
        for model in ("none", "smooth"):
            result = popinv.fit(
                seen,
                solve,
                law=study["law"],
                noise=with_shared(study["noise"], MODELS[model]),
                parameters=list(study["law"]["start"]),
                times=times,
                tests=False,
                progress=False,
            )
            row = {"model": model, "seed": seed}
            for end in ("", "_lower", "_upper"):
                row[f"first_median{end}"] = round(result.metrics[f"summary_first_median{end}"], 5)
            print(row, flush=True)
            rows.append(row)
    return rows


# Seeds of the data sets of porous samples, and the numbers of samples fitted and held out.
_SEEDS, _FITTED, _HELD = (1,), 100, 200
# The error of the simulator at place x, up to one standard deviation of the noise.
ERRORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "errs": lambda x: 0.1 * np.sin(2 * np.pi * x),
    "right": np.zeros_like,
}


def porous_study(seed: int, kernel: str | None) -> Any:
    """Return the example of porous samples, smaller, with a discrepancy or without one."""
    text = (ROOT / "config/examples/porous_samples.yaml").read_text(encoding="utf-8")
    study = yaml.safe_load(text)["studies"]["porous_samples_1"]
    for key in ("downstream", "evidence"):
        del study[key]
    study["seed"] = seed
    study["observations"] |= {"count": _FITTED, "heldout": _HELD}
    if kernel:
        study["noise"] |= {"discrepancy": {"shared": {"kernel": kernel}}}
    return load({"studies": {"samples": study}}).studies["samples"]


def porous_samples(seed: int, error: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return the observations of porous samples, to which the error of the simulator is added."""
    study = porous_study(seed, None)
    model = Model(study.forward, study.law, study.noise)
    stated = study.synthetic()
    law = study.law.replace(start=stated.truth.law, prior=None)
    z = draw_population(study.forward, law, stated, seed=seed, samples=_FITTED + _HELD)["z"].values
    clean = study.forward.model(seed).solve(z, "truth").observations
    seen = observed_systems(model, stated, clean, seed=seed, stage="truth", heldout=_HELD)
    names = [str(name) for name in seen["design_name"].values]
    sensors = [i for i, name in enumerate(names) if name.startswith("x_")]
    for end in ("", "_heldout"):
        seen[f"y{end}"] = seen[f"y{end}"] + error(seen[f"design{end}"].values[:, sensors])
    return seen


def porous_answer(seed: int, seen: Any, kernel: str | None) -> tuple[Problem, np.ndarray]:
    """Return the problem of porous samples through the solver, and the pseudo-likelihood's maximum.

    Each sample has moments of its own, from 64 draws.
    """
    study = porous_study(seed, kernel)
    model, solver = Model(study.forward, study.law, study.noise), study.forward.model(seed)
    problem = descent_problem(model, seen, cast(Any, SolverSimulator(solver)), seed, "discrepancy")

    def fit(p: np.ndarray) -> Estimate:
        return fit_pseudo_likelihood(problem, [p], draws=64)

    return problem, settled(problem, fit(start(model, problem)), fit).p


def porous() -> list[dict[str, Any]]:
    """Return the log scores of held-out porous samples, a row for each sample."""
    rows: list[dict[str, Any]] = []
    for name, error in ERRORS.items():
        for seed in _SEEDS:
            seen = porous_samples(seed, error)
            for model in ("none", "smooth"):
                problem, p = porous_answer(seed, seen, MODELS[model] or None)
                y, conditions = heldout_observations(seen, problem.conditions)
                held = replace(problem, data=y, conditions=conditions)
                near = likelihood_near(held, p, MarginalSettings(draws=64, scores=False))
                found = near.here.log_likelihood
                gamma = torch.from_numpy(p[problem.d_alpha :])
                wrong: Any = ""
                if isinstance(problem.noise, SharedDiscrepancy):
                    knots = problem.noise.shared.coordinates[:, 0]
                    b = problem.noise.shared.values(problem.noise.part("shared", gamma)).numpy()
                    wrong = round(float(np.sqrt(np.mean((b - error(knots)) ** 2))), 5)
                noise = round(float(problem.noise.to_natural(gamma.numpy())[0]), 5)
                print(name, seed, model, found.sum(), noise, wrong, flush=True)
                rows += [
                    {"data": name, "model": model, "seed": seed, "system": n}
                    | {"score": round(float(value), 5), "noise": noise, "error": wrong}
                    for n, value in enumerate(found)
                ]
    return rows


PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "recovery": recovery,
    "right": right,
    "confounded": confounded,
    "scores": scores,
    "porous": porous,
    "valves": valves,
    "unlike": unlike,
    "own": own,
}


def main(arguments: list[str]) -> None:
    """Measure the parts that are asked for."""
    for part in arguments:
        write_rows(f"discrepancy_{part}", PARTS[part]())


if __name__ == "__main__":
    main(sys.argv[1:])
