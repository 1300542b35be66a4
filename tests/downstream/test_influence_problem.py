"""The test problem, at a size that takes seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popinv.downstream.influence import exactness, language, problem
from popinv.downstream.influence.bigram_table import bigram_loss
from popinv.downstream.influence.claims import claims
from popinv.downstream.influence.comparison import correlation
from popinv.downstream.influence.figures import draw_landmarks, draw_selections
from popinv.downstream.influence.language import Corpus, Language, sides
from popinv.downstream.influence.mixture import Mixture, domains
from popinv.downstream.influence.timing import Timing
from popinv.errors import DataError

TINY = problem.Size(
    5,
    5,
    20,
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
    assert numbers["draws"] == 5
    assert all(np.isfinite(value) for value in numbers.values())
    # The formulas do not depend on the size.
    table = claims(result)
    formulas = [claim for claim in table if "power of the learning rate" in claim.claim]
    assert len(formulas) == 12
    # In a draw whose leading term nearly vanishes the next one is seen, so intervals may be wide.
    for claim in formulas:
        assert claim.found.mean == pytest.approx(claim.expected, abs=0.1)
        assert not claim.criterion.holds(claim.control.found)
    # Random tokens have no pairs to learn.
    told = {claim.status for claim in table if claim.claim.startswith("language model")}
    assert told == {"not comparable"}
    assert numbers["teraflops_llama2_7b_influence"] == pytest.approx(872, abs=1)
    assert numbers["mixture_share_target_domains"] == 1
    assert numbers["language_share_full_same_steps"] == pytest.approx(0.1)
    for draw in (draw_selections, draw_landmarks):
        assert len(draw(result).axes) == 2


def told(result, **losses):
    """The language model's rows by their first words, with other losses in all draws."""
    changed = result.copy(deep=True)
    rng = np.random.default_rng(0)
    for name, loss in losses.items():
        noisy = loss + 0.01 * rng.standard_normal(5)
        changed["language"].loc[{"language_name": f"loss_{name}"}] = noisy
    return {
        claim.claim.removeprefix("language model, lead in loss: "): claim
        for claim in claims(changed)
        if claim.claim.startswith("language model")
    }


def test_a_lead_is_told_only_of_a_model_that_is_better_than_pairs(result):
    losses = {"random": 2.0, "landmarks_last_state": 1.0, "landmarks_dealt": 2.0}
    words = "landmarks last state over random"
    row = told(result, bigram=3.0, **losses)[words]
    assert row.status == "holds"
    assert row.found.mean == pytest.approx(1.0, abs=0.02)
    row = told(result, bigram=2.2, **losses)[words]
    assert row.status == "not comparable"
    assert "it must be 0.3 below" in row.why
    # Without a lead the row says so, and with one of any selection it says nothing.
    losses["landmarks_last_state"] = 2.0
    assert told(result, bigram=3.0, **losses)[words].status == "does not hold"
    losses |= {"landmarks_last_state": 1.0, "landmarks_dealt": 1.0}
    assert told(result, bigram=3.0, **losses)[words].status == "not comparable"


def test_a_table_of_pairs_is_that_of_witten_and_bell():
    known, tested = np.array([[0, 1, 0, 1, 2]]), np.array([[0, 1], [2, 0]])
    # Pairs 01, 10, 01, 12; frequencies of second tokens (1, 2, 1), and one each.
    u = np.array([2, 3, 2]) / 7
    expected = [(2 + 1 * u[1]) / (2 + 1), u[0]]
    assert bigram_loss(known, tested, 3) == pytest.approx(-np.log(expected).mean())


def test_a_table_of_pairs_is_as_good_as_the_chain_it_is_of():
    rng = np.random.default_rng(0)
    chain = rng.dirichlet(np.ones(5), size=5)
    walk = [0]
    for u in rng.random(40_000):
        walk.append(int((chain[walk[-1]].cumsum() > u).argmax()))
    windows = np.array(walk[:40_000]).reshape(-1, 100)
    entropy = -np.log(chain[windows[300:, :-1], windows[300:, 1:]]).mean()
    assert bigram_loss(windows[:300], windows[300:], 5) == pytest.approx(entropy, abs=2e-3)


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
        [case.flat.theta.numpy() for case in exactness.cases(4, 0, 5, 5)] for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
