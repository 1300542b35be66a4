"""The test problem, at a size that takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import DataError
from popinv_papers.influence import costs, exactness, fine_tuning, pretraining, problem
from popinv_papers.influence.claims import claims
from popinv_papers.influence.costs import Timing
from popinv_papers.influence.figures import draw_landmarks, draw_selections
from popinv_papers.influence.fine_tuning import FineTuning
from popinv_papers.influence.language import Language, sides
from popinv_papers.influence.mixture import Mixture, domains
from popinv_papers.influence.pool_scores import correlation
from popinv_papers.influence.text_pool import Seconds
from popinv_papers.influence.training import AdamState
from popinv_papers.kit import encoder as encoders
from popinv_papers.kit import kept
from popinv_papers.kit import text as data_passages
from popinv_papers.kit.kept import keeping
from popinv_papers.kit.text import CATEGORIES, GROUPS

TINY = problem.InfluenceSize(
    5,
    5,
    12,
    Mixture(
        pool=100, rare=(0.1, 0.1), target=8, test=50, selected=10, landmarks=(8, 16),
        landmarks_used=8, warm_epochs=1, epochs=1, full_epochs=1, loss_tangents=4, features=6,
    ),
    Language(
        pretraining.LanguageModel(length=8, width=8, heads=2, layers=2, steps=20, batch_size=8),
        pool=60, rare=0.1, target=6, test=20, selected=10, landmarks=(8, 16),
        landmarks_used=8, warm_steps=1, steps=1, batch_size=8,
    ),
    FineTuning(
        words=6, length=8, bank_of_target=90, bank_of_others=80, pool=60, rare=0.1, target=4,
        test=9, selected=10, landmarks=(8, 16), landmarks_used=8, warm_steps=1, steps=1,
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
    kinds = (*CATEGORIES, "ham", "spam")
    texts = {f"{kind}{number:02}": kind for kind in kinds for number in range(6)}

    def sentences() -> list[np.ndarray]:
        return [rng.integers(0, 18, size) for size in rng.integers(2, 6, 40)]

    windows = {name: pretraining.passages(sentences(), 8) for name in texts}
    return pretraining.PretrainingCorpus(windows, texts, 20)


@pytest.fixture(scope="module")
def small_encoder():
    """Let the fine-tuning have a small encoder, and texts of words that say their class."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]

    def lines(kind: str) -> list[str]:
        return [" ".join([f"of-{kind}", *rng.choice(words, 3)]) for _ in range(6)]

    with pytest.MonkeyPatch.context() as patch:
        for name, size in {"_WIDTH": 8, "_WIDE": 16, "_HEADS": 2, "_BLOCKS": 2}.items():
            patch.setattr(encoders, name, size)
        patch.setattr(fine_tuning, "_WIDTH", 8)
        torch.manual_seed(0)

        def letters(archive):
            return {group: [lines(group)[0] for _ in range(60)] for group in GROUPS}

        def sentences(archive):
            return {f"c{kind}{n:02}": lines(kind) for kind in CATEGORIES for n in range(9)}

        def numbered(archive, texts, length):
            known = {}
            rows = [[known.setdefault(w, len(known) + 1) for w in t.split()] for t in texts]
            return torch.tensor([(row + [0] * length)[:length] for row in rows])

        def encoder(archive):
            return encoders.Encoder().requires_grad_(False)

        patch.setattr(fine_tuning, "pretrained_encoder", encoder)
        patch.setattr(data_passages, "brown_sentences", sentences)
        patch.setattr(data_passages, "spam_texts", letters)
        patch.setattr(fine_tuning, "tokenised", numbered)
        yield


@pytest.fixture(scope="module")
def pretrained(corpus):
    return pretraining.pretrain(corpus, TINY.language.model, 1)


@pytest.fixture(scope="module")
def result(corpus, pretrained, small_encoder):
    return problem.run(TINY, corpus, pretrained, (Path(), Path(), Path()), 1)


@pytest.mark.full
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
    told = [claim for claim in table if claim.claim.startswith("language model, ")]
    assert all("must be 0.3 below" in claim.too_far for claim in told)
    assert "holds" not in {claim.status for claim in told}
    assert numbers["teraflops_llama2_7b_influence"] == pytest.approx(872, abs=1)
    assert numbers["mixture_share_target_domains"] == 1
    assert numbers["language_share_h_all"] == pytest.approx(0.1)
    assert numbers["language_share_p_target_texts"] == 1
    assert numbers["fine_tuning_share_instruction_target_texts"] == 1
    for draw in (draw_selections, draw_landmarks):
        assert len(drawn(draw(result)).axes) == 3


def told(result, **losses):
    """The language model's rows by their first words, with other losses in all draws."""
    changed = result.copy(deep=True)
    rng = np.random.default_rng(0)
    for name, loss in losses.items():
        noisy = loss + 0.01 * rng.standard_normal(5)
        for target in TINY.language.model.targets:
            changed["language"].loc[{"language_name": f"loss_{target}_{name}"}] = noisy
    return {
        claim.claim.removeprefix("language model, lead in loss: "): claim
        for claim in claims(changed)
        if claim.claim.startswith("language model")
    }


@pytest.mark.full
def test_a_lead_is_told_only_of_a_model_that_is_better_than_pairs(result):
    losses = {
        "random": 2.0, "representations": 2.0, "landmarks_last_state": 1.0, "landmarks_dealt": 2.5,
    }  # fmt: skip
    words = "landmarks last state over representations"
    row = told(result, bigram=3.0, **losses)[words]
    assert row.status == "holds"
    assert row.found.mean == pytest.approx(1.0, abs=0.02)
    row = told(result, bigram=2.2, **losses)[words]
    assert row.status == "not comparable"
    assert "it must be 0.3 below" in row.too_far
    # Without a lead the row says so, and with one of any selection it says nothing.
    losses["landmarks_last_state"] = 2.0
    assert told(result, bigram=3.0, **losses)[words].status == "undecided"
    losses["landmarks_last_state"] = 3.0
    assert told(result, bigram=4.0, **losses)[words].status == "does not hold"
    losses |= {"landmarks_last_state": 1.0, "landmarks_dealt": 1.0}
    assert told(result, bigram=3.0, **losses)[words].status == "not comparable"


@pytest.mark.full
def test_the_whole_pool_must_teach_more_than_one_class(result):
    changed = result.copy(deep=True)
    for name, value in (("full", 0.5), ("largest_class", 0.4), ("random", 0.2)):
        noisy = value + 1e-3 * np.arange(5)
        changed["mixture"].loc[{"mixture_name": f"accuracy_{name}"}] = noisy

    def leads(given):
        return [c for c in claims(given) if c.claim.startswith("mixture of domains, lead")]

    assert not any(row.too_far for row in leads(changed))
    changed["mixture"].loc[{"mixture_name": "accuracy_largest_class"}] = 0.46
    assert all("it must be 0.05 above" in row.too_far for row in leads(changed))
    assert "holds" not in {row.status for row in leads(changed)}


def test_a_table_of_pairs_is_that_of_witten_and_bell():
    known, tested = np.array([[1, 2, 1, 2, 3, 0]]), np.array([[1, 2, 0], [3, 1, 0]])
    # Pairs 12, 21, 12, 23; frequencies of second tokens (1, 2, 1), and one for each of four.
    u = np.array([1, 2, 3, 2]) / 8
    expected = [(2 + 1 * u[2]) / (2 + 1), u[1]]
    table = pretraining.bigram_table(known, 4)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert pretraining.bigram_loss(table, tested) == pytest.approx(-np.log(expected).mean())


def test_a_table_of_pairs_is_as_good_as_the_chain_it_is_of():
    rng = np.random.default_rng(0)
    chain = rng.dirichlet(np.ones(5), size=5)
    walk = [0]
    for u in rng.random(40_000):
        walk.append(int((chain[walk[-1]].cumsum() > u).argmax()))
    windows = np.array(walk[:40_000]).reshape(-1, 100)
    entropy = -np.log(chain[windows[300:, :-1], windows[300:, 1:]]).mean()
    # Token 0 is padding.
    table = pretraining.bigram_table(windows[:300] + 1, 6)
    assert pretraining.bigram_loss(table, windows[300:] + 1) == pytest.approx(entropy, abs=2e-3)


def test_passages_are_whole_sentences_between_marks():
    sentences = [
        np.array(s) for s in ([0, 1, 2], [3, 4], [5], list(range(9)), [6, 7, 8], [2, 2, 2])
    ]
    rows = pretraining.passages(sentences, 5)
    assert rows.tolist() == [
        [1, 2, 3, 4, 5, 6, 1],
        [1, 7, 1, 0, 0, 0, 0],
        [1, 8, 9, 10, 1, 0, 0],
        [1, 4, 4, 4, 1, 0, 0],
    ]
    assert pretraining.passages([], 5).shape == (0, 7)
    assert pretraining.passages([np.arange(9)], 5).shape == (0, 7)


@pytest.mark.full
def test_a_model_learns_what_follows_and_a_killed_training_continues(tmp_path, monkeypatch):
    # After token k of a ring comes k + 1.
    ring = pretraining.PretrainingCorpus(
        {f"a{n}": pretraining.passages([(np.arange(8) + n) % 9], 8) for n in range(60)},
        {f"a{n}": "a" for n in range(60)},
        11,
    )
    size = pretraining.LanguageModel(
        length=8, width=16, heads=2, layers=1, steps=120, batch_size=8, targets=(), rate=1e-2
    )
    monkeypatch.setattr(pretraining, "_AT_ONCE", 10)
    whole = pretraining.pretrain(ring, size, 0)
    # The first token of a passage cannot be known, one ninth of log 9.
    assert whole["loss"].values[-10:].mean() < 0.8 < 2 < whole["loss"].values[:5].mean()
    model = pretraining.with_weights(whole, size, 11)
    tokens = torch.from_numpy(ring.passages["a0"])
    assert (model(tokens[:, :-1]).argmax(dim=2) == tokens[:, 1:])[:, 1:].double().mean() > 0.9
    real = AdamState.__init__
    made = []

    def killed(self, *args):
        made.append(1)
        if len(made) == 75:
            raise KeyboardInterrupt
        real(self, *args)

    monkeypatch.setattr(kept, "_SELDOM", 0)

    def in_parts():
        with keeping(tmp_path / "parts", {}, seconds=0.0) as found:
            return pretraining.pretrain(ring, size, 0), found

    with monkeypatch.context() as patch:
        patch.setattr(AdamState, "__init__", killed)
        with pytest.raises(KeyboardInterrupt):
            in_parts()
    rest, found = in_parts()
    assert found == ["pretrained language model"]
    np.testing.assert_allclose(rest["loss"].values, whole["loss"].values, atol=1e-5)


def test_no_text_is_on_two_sides_nor_known(corpus):
    size = TINY.language
    drawn = sides(corpus, size, 1, 0)
    assert drawn.pool.shape == (60, 10)
    home = {tuple(row): name for name, rows in corpus.passages.items() for row in rows.tolist()}

    def texts(rows) -> set[str]:
        return {home[tuple(row)] for row in rows.tolist()}

    known = set(pretraining.split(corpus, size.model, 1)[0])
    assert not {corpus.source[name] for name in known} & set(size.model.targets)
    for k, target in enumerate(size.model.targets):
        assert (drawn.target_of == k).sum() == 6
        parts = [
            texts(drawn.pool[torch.from_numpy(drawn.target_of == k)]),
            texts(drawn.targets[k]),
            texts(drawn.tests[k]),
        ]
        assert not parts[0] & parts[1]
        assert not parts[2] & (parts[0] | parts[1])
        assert {corpus.source[name] for part in parts for name in part} == {target}
    others = texts(drawn.pool[torch.from_numpy(drawn.target_of < 0)])
    assert not {corpus.source[name] for name in others} & set(size.model.targets)
    assert not others & known


def test_a_corpus_that_is_too_small_is_refused(corpus):
    with pytest.raises(DataError, match=r"passages for the side 'h, test', 900 are wanted"):
        sides(corpus, replace(TINY.language, test=900), 1, 0)


@pytest.mark.full
def test_fine_tuning_learns_its_pool_and_keeps_texts_apart(small_encoder):
    size = replace(
        TINY.fine_tuning, bank_of_target=150, pool=140, rare=0.25, full_epochs=20, rate=1e-2
    )
    texts = fine_tuning.texts_of(Path(), Path(), size, 1)
    rows = fine_tuning._rows(texts, size, np.random.default_rng(0))
    for k, target in enumerate(fine_tuning.TARGETS):
        in_pool = rows["pool"][texts.target[rows["pool"]] == k]
        of_side = [in_pool, rows[f"target_{target}"], rows[f"test_{target}"]]
        names = [set(texts.text[part]) for part in of_side]
        assert not names[0] & names[1]
        assert not names[2] & (names[0] | names[1])
        kinds = {fine_tuning.CLASSES[label] for label in texts.label[of_side[2]]}
        assert kinds <= set(fine_tuning.TARGETS[target])
    bank, block = fine_tuning.encoded((Path(), Path(), Path()), size, 1)
    numbers = fine_tuning.compare(bank, block, size, 1, 0)
    with pytest.raises(DataError, match="'press, test', 90 are wanted"):
        fine_tuning._rows(texts, replace(size, test=90), np.random.default_rng(0))
    # Each text has a word that says its class.
    assert numbers["accuracy_letters_full"] > numbers["accuracy_letters_largest_class"]


def test_equal_seconds_pay_for_part_of_the_pool():
    seconds = Seconds(forward=1.0, embedding=2.0, gradient=3.0)
    # 100 passes forward, less 10 gradients, pay for 35 embeddings.
    assert seconds.affordable(100, 10) == 35
    assert seconds.affordable(100, 40) == 0
    assert Seconds(1.0, 0.1, 3.0).affordable(100, 10) == 100


def test_a_call_within_a_tick_of_the_clock_takes_its_share_of_a_tick(monkeypatch):
    calls = []
    # A clock whose hand moves at every eighth call.
    clock = SimpleNamespace(process_time=lambda: 0.01 * (len(calls) // 8))
    monkeypatch.setattr(costs, "time", clock)
    assert costs._seconds(lambda: calls.append(None), 3) == pytest.approx(0.01 / 8)
    assert len(calls) == 4 * 8


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
