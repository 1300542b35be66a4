"""The tables of solves that ways of choosing them need: ratios that are known."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.answer_solves import WAYS, Rounds, errors_of, table
from popinv.inference.estimators import fit_pseudo
from popinv.inference.integrate import model_moments
from popinv.threads import fixed_threads
from popinv_papers.influence import worth


def curves(factor: float, noise: float, seed: int) -> dict[str, list[float]]:
    """Return an error that falls as 1 / solves, in units of a way's own solves."""
    counts = [100.0, 200.0, 400.0, 800.0]
    return {"solves": counts, "error": [noise**seed * 100 * factor / n for n in counts]}


def test_a_way_that_needs_half_the_solves_is_told_so():
    done = {
        str(seed): {"active": curves(1.0, 1.05, seed), "answer": curves(0.5, 1.05, seed)}
        for seed in range(5)
    }
    done["0"]["blind"] = curves(2.0, 1.0, 0)
    shown = [row.strip("| ").split(" | ") for row in table(done).splitlines() if row]
    assert [row[0] for row in shown].count("answer") == 2
    errors, calls = (row for row in shown if row[0] == "answer")
    assert errors[-2:] == ["0.50 (0.50 to 0.50)", "5"]
    # The error of 0.25 is reached by half the solves of active learning in each seed.
    assert calls[-1] == "0.50 (0.50 to 0.50)"
    assert re.match(r"2\d\d \(5 of 5 seeds\)", calls[-2])
    blind = [row for row in shown if row[0] == "blind"]
    # A single seed has no interval, and its error never falls to 0.25.
    assert blind[0][-1] == "1"
    assert blind[1][-2] == "800 (1 of 1 seeds)"
    assert blind[1][-1] == "both in 1 of 1"


def test_errors_are_in_standard_errors():
    exact = SimpleNamespace(p=np.array([1.0, 2.0]), covariance=np.diag([4.0, 1.0]))
    assert errors_of([np.array([3.0, 2.0]), np.array([1.0, 5.0])], exact) == pytest.approx([1, 3])


@pytest.mark.firedrake
def test_all_ways_begin_with_the_same_round_and_go_their_own(monkeypatch):
    for name, count in (("FEWEST_DRAWS", 400), ("_DRAWS_PER_SYSTEM", 1)):
        monkeypatch.setattr(model_moments, name, count)
    monkeypatch.setattr(fit_pseudo, "_MOST_STEPS", 3)
    monkeypatch.setattr(worth, "_DRAWS", 50)
    study = Rounds(77, epochs=5, systems=40)
    with fixed_threads():
        ends = {way: study.run(way, 2, first=40, batch=10, candidates=20) for way in WAYS}
    assert all(solves == [40, 50] for solves, *_ in ends.values())
    firsts = [answers[0] for _, answers, _ in ends.values()]
    assert all(np.array_equal(first, firsts[0]) for first in firsts)
    seconds = [tuple(answers[1]) for _, answers, _ in ends.values()]
    assert len(set(seconds)) == len(WAYS)
