"""The test problem, at a size that takes seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popinv.downstream.influence import exactness, language, problem
from popinv.downstream.influence.comparison import correlation
from popinv.downstream.influence.figures import draw_landmarks, draw_selections
from popinv.downstream.influence.language import Corpus, Language, sides
from popinv.downstream.influence.mixture import Mixture, domains
from popinv.downstream.influence.timing import Timing
from popinv.errors import DataError

TINY = problem.Size(
    2,
    Mixture(
        pool=200, rare=(0.1, 0.1), target=8, test=50, selected=20, landmarks=(8, 16),
        landmarks_used=8, warm_epochs=1, epochs=1, full_epochs=1, loss_tangents=4, features=6,
    ),
    Language(
        length=8, width=8, layers=2, pool=60, rare=0.1, target=6, test=20, selected=10,
        landmarks=(8, 16), landmarks_used=8, warm_steps=2, steps=2, pretraining_steps=2,
        batch_size=8,
    ),
    Timing(
        layers=2, blocks=1, width=8, length=8, vocabulary=20, samples=8, repeats=1, pool=2000,
        landmarks=64, targets=3,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    return Corpus(
        {
            f"c{category}{number:02}": rng.integers(0, 20, 100)
            for category in language.CATEGORIES
            for number in range(6)
        },
        20,
    )


@pytest.fixture(scope="module")
def result(corpus):
    return problem.run(TINY, corpus, 1)


def test_every_part_becomes_numbers_and_claims(result):
    numbers = problem.metrics(result)
    assert numbers["draws"] == 2
    assert all(np.isfinite(value) for value in numbers.values())
    # The formulas do not depend on the size.
    claims = problem.claims(result, numbers)
    formulas = [claim for claim in claims if "power of the learning rate" in claim.claim]
    assert len(formulas) == 12
    assert all(claim.holds for claim in formulas)
    exact = [claim for claim in claims if claim.claim.endswith(("exactly)", "below 1e-6)"))]
    assert len(exact) == 6
    assert all(claim.holds for claim in exact)
    assert numbers["teraflops_llama2_7b_influence"] == pytest.approx(872, abs=1)
    assert numbers["mixture_share_target_domains"] == 1
    assert numbers["language_share_full_same_steps"] == pytest.approx(0.1)
    for draw in (draw_selections, draw_landmarks):
        assert len(draw(result).axes) == 2


def test_a_lead_is_beyond_chance_or_not(result):
    # Lower losses are better; the second pair is the same twice.
    changed = result.copy(deep=True)
    name = "language_name"
    changed["language"].loc[{name: "loss_exact"}] = [1.0, 1.1]
    changed["language"].loc[{name: "loss_random"}] = [2.0, 2.1]
    assert problem._ahead(changed, "language", "loss_exact", "loss_random") == (1.0, True)
    assert problem._ahead(changed, "language", "loss_random", "loss_exact") == (-1.0, False)
    assert problem._ahead(changed, "language", "loss_exact", "loss_exact") == (0.0, False)


def test_no_text_is_on_two_sides(corpus):
    size = TINY.language
    drawn = sides(corpus, size, 1, 0)
    assert drawn.pool.shape == (60, 9)
    assert drawn.pool_is_target.sum() == 6
    home = {
        tuple(window): name
        for name, text in corpus.symbols.items()
        for window in text[:99].reshape(-1, 9).tolist()
    }
    texts = {
        side: {home[tuple(window)] for window in tensor.tolist()}
        for side, tensor in (
            ("pool", drawn.pool), ("target", drawn.target), ("test", drawn.test),
        )
    }  # fmt: skip
    assert not texts["target"] & texts["test"]
    assert not texts["pool"] & (texts["target"] | texts["test"])
    assert {name[1] for name in texts["target"] | texts["test"]} == {size.category}
    of_category = [home[tuple(w)][1] == size.category for w in drawn.pool.tolist()]
    assert of_category == drawn.pool_is_target.tolist()


def test_a_corpus_that_is_too_small_is_refused(corpus):
    with pytest.raises(DataError, match="windows of 9 tokens for the side 'test', 900 are"):
        sides(corpus, replace(TINY.language, test=900), 1, 0)


def test_the_target_of_a_mixture_is_its_rare_domains():
    drawn = domains(Mixture(pool=5000), 3)
    shares = np.bincount(drawn.pool_domain, minlength=8) / 5000
    assert shares[0] == pytest.approx(0.02, abs=0.008)
    assert shares[1] == pytest.approx(0.03, abs=0.01)
    # Inputs of the pool and of the target have the centres of their domains.
    for domain in (0, 1):
        of_pool = drawn.pool[0][drawn.pool_domain == domain].mean(dim=0)
        of_test = drawn.test[0][domain::2].mean(dim=0)
        assert (of_pool - of_test).norm() < 1.0


def test_correlation_leaves_landmarks_out():
    exact = np.arange(6.0)[:, None]
    copied = exact.copy()
    copied[0] = 100
    assert correlation(copied, exact, np.array([0])) == pytest.approx(1)
    assert correlation(copied, exact, np.array([5])) < 0
    assert correlation(0 * copied, exact, np.array([5])) == 0


def test_cases_are_the_same_for_the_same_seed():
    first, second = (
        [case.flat.theta.numpy() for case in exactness.cases(4, 5, 5)] for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
