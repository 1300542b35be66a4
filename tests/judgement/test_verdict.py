"""The rule by which p-values are reasons for doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from answers import TRUE

from popinv.judgement.judgements import judgements
from popinv.judgement.measures import HeldOutDistance, PartTest
from popinv.judgement.verdict import levels


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ({}, {}),
        ({"Agreement": 0.2}, {"Agreement": 0.05}),
        # The smallest has the smallest level; the next is judged if that is a doubt.
        ({"a": 0.02, "b": 0.03}, {"a": 0.025, "b": 0.05}),
        ({"a": 0.03, "b": 0.04}, {"a": 0.025, "b": 0.025}),
        # Law, noise and simulator are one test.
        ({"Law": 0.5, "Noise": 0.02, "b": 0.3}, {"Law": 0.025, "Noise": 0.025, "b": 0.05}),
    ],
)
def test_levels_are_those_of_holm(p_values, expected):
    assert levels(p_values) == pytest.approx(expected)


def verdicts(heldout: float, agreement: float, noise: float) -> dict[str, str]:
    answer = replace(
        TRUE,
        heldout=HeldOutDistance(0.1, 0.2, heldout),
        choice=replace(TRUE.choice, agreement_p_value=agreement),
        tests=(PartTest("noise", "", "it is correlated (0.4)" * (noise < 0.05), noise, 9),),
    )
    found = {j.name: j.verdict for j in judgements(answer)}
    return {name: found[name] for name in ("Held-out systems", "Agreement", "Noise")}


def test_a_p_value_of_one_test_among_three_is_judged_beside_the_others():
    assert verdicts(0.045, 0.6, 0.4) == {
        "Held-out systems": "good", "Agreement": "good", "Noise": "good",
    }  # fmt: skip
    assert verdicts(0.016, 0.6, 0.04) == {
        "Held-out systems": "doubt", "Agreement": "good", "Noise": "neutral",
    }  # fmt: skip
    assert verdicts(0.045, 0.02, 0.01) == {
        "Held-out systems": "doubt", "Agreement": "doubt", "Noise": "doubt",
    }  # fmt: skip


@pytest.mark.parametrize(("systems", "recommended"), [(23, True), (24, False)])
def test_the_posterior_of_the_law_is_recommended_for_few_systems(systems, recommended):
    answer = replace(TRUE, sizes=replace(TRUE.sizes, systems=systems))
    found = [each for each in judgements(answer) if each.name == "Few systems"]
    assert bool(found) is recommended
    if found:
        assert "downstream: {law_posterior: {}}" in found[0].finding
        assert found[0].verdict == "neutral"


@pytest.mark.parametrize(
    ("sizes", "words", "few"),
    [
        (
            {"systems": 1, "members": 144, "fewest_members": 144},
            "1 group of 144 members",
            "1 group is too few",
        ),
        ({"systems": 3, "members": 5}, "3 groups of 1 to 5 members", "3 groups are too few"),
        (
            {"systems": 3, "members": 5, "fewest_members": 5},
            "3 groups of 5 members",
            "3 groups are too few",
        ),
        ({"systems": 1, "members": 1}, "1 system", "1 system is too few"),
    ],
)
def test_one_group_and_one_observation_are_counted_as_one(sizes, words, few):
    one = replace(TRUE.sizes, observations=1, fewest_observations=1, **sizes)
    assert one.in_words == f"{words} with 1 observation each"
    found = {each.name: each.short for each in judgements(replace(TRUE, sizes=one))}
    assert found["Efficiency"] == f"not judged: {few}"
    counted = " ".join(few.split()[:2])
    assert found["Few systems"] == f"{counted}: the posterior of the law is recommended"
