"""All rounds as one stage: what each round is given, and what it leaves."""

from __future__ import annotations

from types import SimpleNamespace

from popinv.inference.stages import run_rounds as module
from popinv.inference.stages.run_rounds import run_rounds


def test_a_round_goes_on_from_the_round_before_it(monkeypatch):
    asked, trained_from = {}, []

    def solve_round(forward, law, **given):
        name = given["round_name"]
        asked[name] = given
        return f"solves of {name}"

    def train_surrogate(forward, law, surrogate, solves, before, estimate, **given):
        trained_from.append((solves, before, estimate))
        return f"surrogate of {given['round_number']}"

    def update_population(model, observations, surrogate, before, **given):
        return f"estimate of {given['round_number']}"

    for stage in (solve_round, train_surrogate, update_population):
        monkeypatch.setattr(module, stage.__name__, stage)
    told = []
    rounds = run_rounds(
        SimpleNamespace(forward="forward", law="law"),
        "settings",
        "observations",
        seed=1,
        samples={"0": 8, "1": 4, "check": 2},
        thresholds="thresholds",
        failure_budget=0.1,
        recency_decay=0.2,
        candidates=40,
        say=told.append,
    )
    first, second, check = rounds
    # Only a surrogate can choose, and the solves that judge it are plain draws.
    assert [each["candidates"] for each in asked.values()] == [0, 40, 0]
    assert [each.candidates for each in (first, second, check)] == [0, 40, 0]
    assert [each.judged for each in (first, second, check)] == [False, True, True]
    assert [each["samples"] for each in asked.values()] == [8, 4, 2]
    assert "previous_surrogate" not in asked["0"]
    assert asked["1"]["previous_surrogate"] == "surrogate of 0"
    assert asked["check"]["previous_estimate"] == second.estimate == "estimate of 1"
    assert trained_from == [
        ("solves of 0", None, None),
        ("solves of 1", "surrogate of 0", "estimate of 0"),
    ]
    assert (check.surrogate, check.estimate) == (None, None)
    assert told[:2] == [
        "round 1 of 2: solving the forward model",
        "round 1 of 2: training the surrogate",
    ]
    assert told[-1] == "solving fresh systems"
