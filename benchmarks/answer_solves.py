"""Compare the numbers of solves that several designs need for an answer of a given error.

    python -m benchmarks.answer_solves [--seeds 5] [--rounds 6] [--ways WAY ...] [--write-docs]

The default study (config/config.yaml) with other draws of the truth for each seed, a first design
of 200 solves, and rounds of 160 solves each. A network is trained in every round as a study trains
it, but for 400 epochs, so that solves limit it and not steps. Law and noise are then estimated by
the pseudo-likelihood, as in a study's rounds. The error of this answer is its distance to the
answer through the solver, ``sqrt(d^T C^-1 d)`` in standard errors. The ways are

==========  =====================================================================================
answer      800 draws of the current law, in the order of their worth for the answer
blind       the same with the answer left out: the worth for the surrogate over the law
active      draws of the current law, as active learning takes them
broad       draws of the broad first design
==========  =====================================================================================

results/answer_solves.json holds the finished parts, which are not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.stats import t as student

from benchmarks import default_study
from popinv.evidence.designs import Calls, calls_to_reach
from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.estimate import Estimate
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.population.laws.section import law_spread, law_values
from popinv.population.model import Model
from popinv.population.observe import observations_dataset
from popinv.population.synthetic import broad_parameters, noise_rows, parameters
from popinv.surrogate.build import training_settings
from popinv.surrogate.design import recency_weights
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import TrainingData, train
from popinv.threads import fixed_threads
from popinv_papers.influence.worth import answer_order

__all__ = ["WAYS", "Rounds", "errors_of", "table"]

WAYS = ("active", "answer", "broad", "blind")
RESULTS = Path("results/answer_solves.json")
PAGE = Path("docs/papers/influence.md")
BEGIN, END = "<!-- written by `python -m benchmarks.answer_solves --write-docs` -->", "<!-- end -->"
TARGETS = (1.0, 0.5, 0.25)
_SYSTEMS, _FIRST, _BATCH, _CANDIDATES, _EPOCHS = 1000, 200, 160, 800, 400


class Rounds:
    """The rounds of one seed, with solves chosen in one way."""

    def __init__(self, seed: int, epochs: int = _EPOCHS, systems: int = _SYSTEMS) -> None:
        given = default_study.section()
        self.seed, self.given, self.model = seed, given, default_study.model()
        limits = {"max_epochs": epochs, "patience": epochs}
        self.surrogate = given.surrogate.replace(**limits)
        self.solver, self.law = given.forward.model(seed), given.law.law(given.forward)
        self.observations = self._observed(self.model, systems)
        # All ways begin with the same round.
        self.began: tuple[Surrogate, Problem, Estimate] | None = None
        self.exact: Estimate | None = None

    def _observed(self, model: Model, count: int) -> xr.Dataset:
        given, truth = self.given, default_study.truth(self.given)
        alpha = law_values(given.law, truth.law, given.forward)
        observed = given.forward.observed(self.seed)
        clean = self.solve(parameters(self.law, alpha, self.seed, "propose/truth", count))
        noise = model.noise.model(observed)
        gamma = noise.from_natural(truth.noise)
        y = clean + noise_rows(noise, gamma, self.seed, "truth", clean)
        return observations_dataset(y, observed, heldout=0)

    def solve(self, z: np.ndarray) -> np.ndarray:
        """Return noise-free observations (n, d_y) of parameters (n, d_z)."""
        return self.solver.solve(z).observations

    def broad(self, stage: str, count: int) -> np.ndarray:
        """Draw from the broad first design."""
        given = self.given
        alpha = law_values(given.law, given.law.start, given.forward)
        spread = law_spread(given.law, given.forward)
        return broad_parameters(self.law, alpha, spread, self.seed, stage, count)

    def chosen(
        self,
        way: str,
        number: int,
        problem: Problem,
        estimate: Estimate,
        surrogate: Surrogate,
        solved: tuple[np.ndarray, np.ndarray],
        batch: int,
        candidates: int,
    ) -> np.ndarray:
        """Return the parameters to solve in a round."""
        stage = f"propose/{number}"
        if way == "broad":
            return self.broad(stage, batch)
        count = batch if way == "active" else candidates
        z = parameters(self.law, problem.split(estimate.p)[0], self.seed, stage, count)
        if way == "active":
            return z
        order, _ = answer_order(
            problem, estimate, surrogate, solved, z, batch, stage, blind=way == "blind"
        )
        return z[order]

    def run(
        self,
        way: str,
        rounds: int,
        first: int = _FIRST,
        batch: int = _BATCH,
        candidates: int = _CANDIDATES,
    ) -> tuple[list[int], list[np.ndarray], Problem]:
        """Return solves and answers (n_p,) round by round, and the last problem."""
        z = self.broad("propose/0", first)
        y, of_round = self.solve(z), np.zeros(first, dtype=int)
        surrogate, described = None, None
        counts: list[int] = []
        answers: list[np.ndarray] = []
        for number in range(rounds):
            weights = recency_weights(of_round, number, self.given.active_learning.recency_decay)
            data = TrainingData(z, y, weights)
            if number or self.began is None:
                made = self._fitted(number, data, described, surrogate, answers)
                self.began = self.began or made
            else:
                made = self.began
            surrogate, problem, estimate = made
            described = estimate_dataset(problem, estimate, {"converged": 0})
            counts.append(len(z))
            answers.append(estimate.p)
            if number + 1 < rounds:
                more = self.chosen(
                    way, number + 1, problem, estimate, surrogate, (z, y), batch, candidates
                )
                z, y = np.concatenate([z, more]), np.concatenate([y, self.solve(more)])
                of_round = np.append(of_round, np.full(len(more), number + 1))
        return counts, answers, problem

    def _fitted(
        self,
        number: int,
        data: TrainingData,
        described: xr.Dataset | None,
        last: Surrogate | None,
        answers: Sequence[np.ndarray],
    ) -> tuple[Surrogate, Problem, Estimate]:
        """Train on the solves of a round, and estimate law and noise."""
        given, seed = self.given, self.seed
        settings = training_settings(
            self.surrogate, given.forward, seed, number, described, self.law.logarithmic
        )
        surrogate, _ = train(data, settings, last, progress=False)
        problem = descent_problem(self.model, self.observations, surrogate, seed, "update")
        starts = [*answers[-1:], start(self.model, problem)]
        return surrogate, problem, fit_pseudo_likelihood(problem, starts)

    def through_solver(self, problem: Problem, p: np.ndarray) -> Estimate:
        """Return the answer through the solver, from an answer nearby; it is found once."""
        if self.exact is None:
            solver = SolverSimulator(self.given.forward.model(self.seed))
            with solver.session():
                self.exact = fit_pseudo_likelihood(problem.through(solver), [p], slopes=problem)
        return self.exact


def errors_of(answers: Sequence[np.ndarray], exact: Estimate) -> list[float]:
    """Return the distances of answers to the exact one, in standard errors."""
    moved = np.array(answers) - exact.p
    return [float(np.sqrt(d @ np.linalg.solve(exact.covariance, d))) for d in moved]


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % interval, of the t law."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def _ratio(ratios: np.ndarray) -> str:
    """Return the geometric mean, with its interval if there are several."""
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    mean, low, high = np.exp(_interval(np.log(ratios)))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def table(done: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> str:
    """Return the tables of errors, of solves to an error, and of both relative to active learning.

    Each way has the seeds that it and active learning have finished. Intervals are 95 % over them.

    Parameters
    ----------
    done : mapping
        ``solves`` and ``error`` by seed and way.
    """
    ways = [
        way for way in WAYS if any({way, "active"} <= set(of_seed) for of_seed in done.values())
    ]
    errors, active = {}, {}
    for way in ways:
        both = [of_seed for of_seed in done.values() if {way, "active"} <= set(of_seed)]
        errors[way] = np.array([of_seed[way]["error"] for of_seed in both])
        active[way] = np.array([of_seed["active"]["error"] for of_seed in both])
    counts = np.array(next(iter(done.values()))["active"]["solves"])
    lines = [
        "| error after solves | "
        + " | ".join(f"{count:.0f}" for count in counts)
        + " | relative to active, later rounds | seeds |",
        "| --- |" + " --- |" * (len(counts) + 2),
    ]
    for way in ways:
        means = " | ".join(f"{value:.2f}" for value in np.exp(np.log(errors[way]).mean(axis=0)))
        relative = np.exp(np.log(errors[way] / active[way])[:, 1:].mean(axis=1))
        shown = "1" if way == "active" else _ratio(relative)
        lines.append(f"| {way} | {means} | {shown} | {len(relative)} |")
    lines += [
        "",
        "| solves to an error of | "
        + " | ".join(f"{target:g} | relative to active" for target in TARGETS)
        + " |",
        "| --- |" + " --- |" * (2 * len(TARGETS)),
    ]
    for way in ways:
        cells = [way]
        for target in TARGETS:
            ours, theirs = (
                [calls_to_reach(counts, each, target) for each in curves[way]]
                for curves in (errors, active)
            )
            cells += [_calls(ours), "1" if way == "active" else _calls_ratio(ours, theirs)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _calls(calls: Sequence[Calls]) -> str:
    """Return the median, a bound if it is one, and the number of seeds that got there."""
    order = sorted(calls, key=lambda each: (each.relation == ">", each.value))
    there = sum(each.relation != ">" for each in calls)
    return f"{order[(len(order) - 1) // 2].shown()} ({there} of {len(calls)} seeds)"


def _calls_ratio(ours: Sequence[Calls], active: Sequence[Calls]) -> str:
    """Return the ratio and its interval over the seeds where both got there.

    An error that is reached by the first design already counts as the first design's solves.
    """
    both = [(a, b) for a, b in zip(ours, active, strict=True) if ">" not in a.relation + b.relation]
    if len(both) < 3:
        return f"both in {len(both)} of {len(ours)}"
    shown = _ratio(np.array([a.value / b.value for a, b in both]))
    return shown + ("" if len(both) == len(ours) else f", {len(both)} of {len(ours)} seeds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--write-docs", action="store_true", help="put the tables on the page")
    given = parser.parse_args(arguments)
    done: dict[str, dict[str, dict[str, list[float]]]] = {}
    if RESULTS.exists():
        done = json.loads(RESULTS.read_text())
    studies: dict[int, Rounds] = {}
    # The first comparison is complete before the others begin.
    for way in given.ways:
        for seed in range(1, given.seeds + 1):
            of_seed = done.setdefault(str(seed), {})
            if way in of_seed:
                continue
            study = studies.get(seed) or studies.setdefault(seed, Rounds(seed))
            with fixed_threads():
                solves, answers, problem = study.run(way, given.rounds)
                errors = errors_of(answers, study.through_solver(problem, answers[-1]))
            of_seed[way] = {"solves": [float(count) for count in solves], "error": errors}
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(done, indent=1) + "\n")
            print(seed, way, " ".join(f"{error:.2f}" for error in errors), flush=True)
    text = table(done)
    print(text)
    if given.write_docs:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n\n" + text + "\n\n" + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
