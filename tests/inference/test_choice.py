"""Whose answer counts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.inference.estimators.choice import choose


def estimate(passes: bool, reason: str = "", answer: bool = True) -> xr.Dataset:
    variables = {"alpha": ("law_parameter", np.zeros(1))} if answer else {}
    return xr.Dataset(variables, attrs={"passes": int(passes), "reason": reason})


def test_the_best_that_passes_is_chosen_and_says_why_the_others_are_not():
    both = {
        "likelihood": estimate(False, "8% of the draws count"),
        "pseudo_likelihood": estimate(True),
        "distance": estimate(True),
    }
    name, why = choose(both, "auto")
    assert name == "pseudo_likelihood"
    assert "the likelihood does not pass: 8% of the draws count" in why
    both["likelihood"] = estimate(True)
    assert choose(both, "auto")[0] == "likelihood"


def test_what_is_asked_for_counts_even_in_doubt():
    both = {
        "likelihood": estimate(True),
        "pseudo_likelihood": estimate(True),
        "distance": estimate(False, "still moving"),
    }
    name, why = choose(both, "distance")
    assert name == "distance"
    assert "does not pass: still moving" in why


def test_without_an_answer_of_the_one_asked_for_another_counts():
    both = {
        "likelihood": estimate(False, "it diverged", answer=False),
        "pseudo_likelihood": estimate(True),
        "distance": estimate(True),
    }
    name, why = choose(both, "likelihood")
    assert name == "pseudo_likelihood"
    assert "the likelihood was requested" in why


def test_where_none_passes_it_is_the_distance():
    none = {name: estimate(False, "no") for name in ("likelihood", "pseudo_likelihood", "distance")}
    name, why = choose(none, "auto")
    assert name == "distance"
    assert why.startswith("none passes")
