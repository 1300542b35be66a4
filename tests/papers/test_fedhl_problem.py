"""The test problem's parts at a size that takes seconds: images, texts, rates, rows and floors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from popinv.charts.saving import save
from popinv.errors import ConfigError, DataError
from popinv.methods.metrics import write_metrics
from popinv.store import storage
from popinv_papers.fedhl import accuracies, claims, figures, problem, texts
from popinv_papers.fedhl.accuracies import Division, Labelled, Training, accuracy
from popinv_papers.fedhl.problem import chosen_images, pretrained
from popinv_papers.fedhl.regression import fitted_exponents, floors, rates, regressions
from popinv_papers.kit import encoder as encoders
from popinv_papers.kit import text as data_passages
from popinv_papers.kit.claims import write_claims
from popinv_papers.kit.encoder import Block, Encoder
from popinv_papers.kit.images import ImageSet

TRAINING = Training((Division(10, 0.5), Division(10, np.inf), Division(100, 0.5)), 2, 1, 3)
TINY = problem.FedhlSize(
    problem.ImagesSize(Training((Division(10, 0.5),), 2, 1, 10), 200, 40, 12, 2),
    (texts.Passages(6, 9, 80), TRAINING),
    (texts.Passages(6, 9, 80), Training((Division(10, 0.5),), 2, 1, 3)),
    5,
    2,
    (1, 2),
    8,
)
KINDS = ("calm", "glad", "sad")


def images(seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    labels = np.arange(300, dtype=np.uint8) % 10
    pixels = np.clip(
        20 * labels[:, None, None] + rng.integers(0, 50, (300, 28, 28)), 0, 255
    ).astype(np.uint8)
    return ImageSet(pixels, labels, pixels[:80], labels[:80])


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"_WIDTH": 24, "_WIDE": 40, "_HEADS": 3, "_BLOCKS": 2, "_VOCABULARY": 30}
        for name, size in sizes.items():
            patch.setattr(encoders, name, size)
        patch.setattr(texts, "_HEADS", 3)
        patch.setattr(accuracies, "LEARNING_RATES", (6e-3, 2e-2))
        torch.manual_seed(0)
        drawn = Encoder().requires_grad_(False)
        # Words of a kind share one number, so that kinds can be told apart.
        patch.setattr(texts, "pretrained_encoder", lambda _: drawn)
        patch.setattr(
            texts,
            "tokenised",
            lambda _, words, length: torch.tensor(
                [([1, *map(int, w.split())] + [0] * length)[:length] for w in words]
            ),
        )
        yield drawn


def found(seed: int = 0) -> dict[str, list[tuple[str, str]]]:
    """Return four passages of each of twenty texts of a kind, with words that are often its own."""
    rng = np.random.default_rng(seed)

    def passage(kind: int) -> str:
        words = np.where(rng.random(6) < 0.7, 2 + kind, rng.integers(2, 30, 6))
        return " ".join(map(str, words[: rng.integers(3, 7)]))

    return {
        kind: [(f"{kind}/{text}", passage(k)) for text in range(20) for _ in range(4)]
        for k, kind in enumerate(KINDS)
    }


@pytest.fixture(scope="module")
def given(small) -> texts.Bank:
    return texts.bank("brown", found(), Path(), TINY.brown[0], 1)


# --- images --------------------------------------------------------------------------------------


def test_images_are_averaged_and_labelled():
    image_set = chosen_images(images(0), 300, 80, 1, "test")
    assert image_set.x.shape == (300, 196)
    order = np.argsort(image_set.labels.numpy(), kind="stable")
    # The brightness of a class is 20 of 255 above that of the class before it.
    means = image_set.x.mean(dim=1).numpy()[order].reshape(10, 30).mean(axis=1)
    np.testing.assert_allclose(np.diff(means), 20 / 255, atol=0.01)


@pytest.mark.full
def test_the_network_learns_what_it_is_pretrained_on():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 10, 400))
    x = torch.nn.functional.one_hot(labels, 10).float() + 0.1 * torch.randn(400, 10)
    data = Labelled(x, labels, x, labels)
    net = pretrained(data, 16, 150, 1)
    assert accuracy(net, {}, data) > 0.9
    assert data.largest_class() == pytest.approx(np.bincount(labels).max() / 400)


def test_the_pilot_sees_no_test_image_and_many_classes():
    whole = images(2)
    # Sets are sorted by class at times.
    order = np.argsort(whole.train_labels, kind="stable")
    whole = replace(whole, train=whole.train[order], train_labels=whole.train_labels[order])
    kept = problem.held_back(whole, 1)
    assert len(kept.test) == 50

    def rows(pixels: np.ndarray, labels: np.ndarray) -> list[bytes]:
        return sorted(
            row.tobytes() + bytes([label]) for row, label in zip(pixels, labels, strict=True)
        )

    both = rows(kept.train, kept.train_labels) + rows(kept.test, kept.test_labels)
    assert sorted(both) == rows(whole.train, whole.train_labels)
    assert set(kept.train_labels) == set(range(10))
    # The last sixth of the sorted images has two classes; fifty random ones may miss one of ten.
    assert len(set(kept.test_labels)) >= 9


# --- texts ---------------------------------------------------------------------------------------


def test_the_adapted_block_is_the_encoders_own(small):
    ids = torch.tensor([[1, 4, 5, 6, 0, 0], [1, 7, 8, 9, 10, 11]])
    block = small.blocks[-1]
    assert isinstance(block, Block)
    states, told = small(ids, -1), ids != 0
    expected = block(states, told)[:, 0]
    module = texts.FirstToken(block, 4)
    heard = module.heard(states, told)
    assert heard.shape == (2, 1 + 3, 24)
    torch.testing.assert_close(module.state(heard), expected)
    # What is adapted is what a change of the block itself would do.
    increment = torch.randn(24, 24) / 5
    with torch.no_grad():
        module.block.value.weight += increment
        changed = texts.FirstToken(block, 4).block
        changed.value.weight += increment
    torch.testing.assert_close(module.state(heard), changed(states, told)[:, 0])
    assert (module.state(heard) - expected).abs().max() > 1e-3


def test_the_head_reads_standardised_states(given):
    apart = given.x[torch.from_numpy(given.validation)]
    module = given.module
    read = (module.state(apart) - module.mean) / module.deviation
    torch.testing.assert_close(read.mean(dim=0), torch.zeros(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(read.std(dim=0), torch.ones(24), atol=1e-3, rtol=0)
    assert (module(apart) == 0).all()


def test_every_text_is_on_one_side_and_no_seed_sees_the_validation(given):
    assert set(np.unique(given.labels)) == {0, 1, 2}
    apart = set(given.text[given.validation])
    # Rows that tell their own numbers.
    marked = replace(given, x=torch.arange(len(given.x)))
    divisions = []
    for seed in (1, 2, 3):
        data, pilot = texts.sides(marked, seed), texts.sides(marked, seed, pilot=True)
        train, test, held = (
            set(given.text[side.numpy()]) for side in (data.x, data.test_x, pilot.test_x)
        )
        labels = np.concatenate([data.labels, data.test_labels])
        np.testing.assert_array_equal(labels, given.labels[np.concatenate([data.x, data.test_x])])
        assert not train & test
        assert not (train | test) & held
        assert held == apart
        assert torch.equal(pilot.x, data.x)
        assert len(data.x) + len(data.test_x) + len(pilot.test_x) == len(given.x)
        kinds = [text.split("/")[0] for text in test]
        assert {kinds.count(kind) for kind in KINDS} == {5}
        divisions.append(frozenset(test))
    assert len(set(divisions)) == 3


def test_clients_divide_the_passages_to_train_with(given):
    one = problem.texts("brown", given, 1)
    for division in TRAINING.divisions:
        asked = one.federation(division, TRAINING, 0.01)
        assert len(asked.ranks) == division.clients
        assert asked.sizes.sum() == len(one.data.labels)
    assert set(asked.shapes) == set(texts.ADAPTED)
    assert one.pooled(TRAINING, 0.01).ranks.tolist() == [24]


def test_a_kind_of_few_texts_is_refused(small):
    few = found() | {"sad": [("sad/0", "2 3"), ("sad/1", "4 5")]}
    with pytest.raises(DataError, match="'sad' are from 2 texts, must be from at least 4"):
        texts.bank("brown", few, Path(), TINY.brown[0], 1)


def test_passages_of_letters_are_the_first_of_each(monkeypatch):
    letter = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
    monkeypatch.setattr(data_passages, "spam_texts", lambda _: {"spam-1": [letter, "Once."]})
    assert data_passages.letter_passages(Path(), 6) == {
        "spam-1": [
            ("spam-1/0", "One two three. Four five six."),
            ("spam-1/0", "Seven eight nine. Ten eleven twelve."),
            ("spam-1/1", "Once."),
        ]
    }
    lines = {"ca01": ["one two", "three four five", "six seven"]}
    monkeypatch.setattr(data_passages, "brown_sentences", lambda _: lines)
    assert data_passages.brown_passages(Path(), 5)["reportage"] == [
        ("ca01", "one two three four five"),
        ("ca01", "six seven"),
    ]


# --- the whole -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(given) -> xr.Dataset:
    seeds = problem.seeds_of(TINY, 1)
    assert seeds == [1, 2, 3, 4, 5]
    parts = [
        problem.digits_to_clothes(images(1), images(2), TINY.digits, seeds),
        problem.kinds_of_texts("brown", given, TINY.brown[1], seeds),
    ]
    other = texts.bank("letters", found(1), Path(), TINY.letters[0], 1)
    parts.append(problem.kinds_of_texts("letters", other, TINY.letters[1], seeds))
    return problem.merged(
        accuracies.joined(parts),
        regressions(TINY.regression_rounds, seeds),
        rates(TINY.horizons, seeds),
        floors(TINY.floor_rounds, seeds),
    )


@pytest.mark.full
def test_all_parts_of_the_test_problem_end_in_metrics_claims_and_figures(result, tmp_path):
    storage.save(result, tmp_path / "result.zarr.zip", config={}, seed=1, created_by="test")
    for draw in (figures.draw_accuracy, figures.draw_gains, figures.draw_losses):
        save(draw(result), tmp_path / "figure.png")
    numbers = claims.metrics(result)
    write_claims(claims.claims(result), tmp_path / "claims.csv")
    write_metrics(numbers, tmp_path / "metrics.json")
    assert np.isfinite([n for n in numbers.values() if not isinstance(n, str)]).all()
    values = result["accuracy"].sel(
        problem="brown", division="100 clients, Dirichlet 0.5", rule="fedhl", round=2
    )
    assert numbers["accuracy_brown_100_clients_Dirichlet_0.5_fedhl"] == pytest.approx(
        float(values.mean())
    )
    # The stack goes to all, so that its bytes grow with the clients; the others' do not.
    many, few = (numbers[f"bytes_brown_{k}_clients_Dirichlet_0.5_flora"] for k in (100, 10))
    assert many > 5 * few
    table = claims.claims(result)
    assert {row.part for row in table} == {"headline", "reconstruction"}
    missing = [row.claim for row in table if row.found is None]
    # Digits and letters are not divided among a hundred.
    assert len(missing) == 2 * 3
    assert all("; 100 clients" in claim and "Brown" not in claim for claim in missing)


@pytest.mark.full
def test_a_problem_without_a_division_has_no_numbers_for_it(result):
    last = result["last_accuracy"]
    assert last.sel(problem="digits").notnull().all(["rule", "seed"]).sum() == 1
    assert last.sel(problem="brown").notnull().all()
    ends = result["accuracy"].sel(problem="brown").isel(round=2)
    np.testing.assert_array_equal(last.sel(problem="brown"), ends)


def statuses(result: xr.Dataset) -> dict[str, str]:
    return {row.claim: row.status for row in claims.claims(result)}


def changed(result: xr.Dataset, pooled: float = 0.9, **by_rule: float) -> xr.Dataset:
    """Return the result with these accuracies in all seeds and divisions that were run."""
    other = result.copy(deep=True)
    for rule, value in by_rule.items():
        place = other["last_accuracy"].loc[{"rule": rule}]
        other["last_accuracy"].loc[{"rule": rule}] = place.where(place.isnull(), value)
    other["pooled"][:] = pooled
    other["largest_class"][:] = 0.3
    other["pooled_dealt"][:] = 0.3
    return other


KEY = "FedHL is more accurate than {} (MiniLM, Brown's categories; 10 clients)"


@pytest.mark.full
def test_a_lead_is_over_each_rival(result):
    equal = {"hetlora": 0.6, "flora": 0.63, "flexlora": 0.59}
    told = statuses(changed(result, **equal, fedhl=0.62))
    assert told[KEY.format("FlexLoRA")] == "not comparable"  # HetLoRA leads FlexLoRA, too.
    assert told[KEY.format("HetLoRA")] == "holds"
    assert told[KEY.format("FLoRA")] == "does not hold"


@pytest.mark.full
def test_rows_of_a_problem_count_only_if_its_pooled_model_learns(result):
    equal = {"hetlora": 0.6, "flora": 0.63, "flexlora": 0.59, "fedhl": 0.62}
    gate = "the problem counts: one client with all data and full rank is more accurate than"
    for pooled, learns in ((0.39, False), (0.42, True)):
        given = changed(result, pooled, **equal)
        assert claims.learns(given, "brown") is learns
        told = statuses(given)
        assert told[KEY.format("HetLoRA")] == ("holds" if learns else "not comparable")
        gates = {status for claim, status in told.items() if claim.startswith(gate)}
        assert gates == {"holds" if learns else "does not hold"}


@pytest.mark.full
def test_the_weights_are_told_apart_from_the_base(result):
    given = changed(result, equal=0.6, flexlora=0.5, fedhl=0.55, fedhl_q1=0.61)
    told = {claim.split(":")[0]: s for claim, s in statuses(given).items() if "Brown" in claim}
    assert told["the base of full rank alone adds"] == "holds"
    assert told["the literal weights add to the base"] == "does not hold"
    assert told["weights with q = 1 add to the base"] == "holds"


@pytest.mark.full
def test_each_rule_gets_the_rate_that_is_best_for_the_pilot(result, given):
    tried = result["pilot_accuracy"].sel(problem="brown", clients=10, rule="flora")
    best = float(tried["learning_rate"][int(np.argmax(tried.values))])
    assert claims.metrics(result)["learning_rate_brown_10_clients_flora"] == best
    one, training = problem.texts("brown", given, 3), TINY.brown[1]
    record = accuracies._adapted(one, "flora", Division(10, np.inf), training, best)
    curve = result["accuracy"].sel(problem="brown", rule="flora", seed=3)
    np.testing.assert_array_equal(
        curve.sel(division="10 clients, homogeneous").dropna("round"), record["accuracy"]
    )
    with pytest.raises(ConfigError, match="the pilot has the seed 3"):
        accuracies.accuracies(training, one, [one])


def test_dealt_labels_are_the_same_labels_in_another_order(given):
    one = problem.texts("brown", given, 3)
    dealt = one.with_dealt_labels()
    assert torch.equal(dealt.data.labels.bincount(), one.data.labels.bincount())
    assert (dealt.data.labels == one.data.labels).double().mean() < 0.6
    assert torch.equal(dealt.data.test_labels, one.data.test_labels)


def test_pooled_learns_and_dealt_labels_do_not(given):
    training = Training(TRAINING.divisions, 6, 5, 10)
    one = problem.texts("brown", given, 1)
    learnt, dealt = (
        accuracies._pooled(what, training, 2e-2)["accuracy"][-1]
        for what in (one, one.with_dealt_labels())
    )
    assert learnt > one.data.largest_class() + 0.2 > dealt


def test_exponents_are_those_of_a_power_law():
    horizons = np.array([4, 8, 16])
    squares = np.array([2.0, 3.0])[None, None] * (horizons**-0.7)[None, :, None]
    rate = xr.Dataset(
        {"squared_gradient": (("rate_rule", "horizon", "seed"), squares)},
        coords={"rate_rule": ["fedhl"], "horizon": horizons, "seed": [1, 2]},
    )
    exponents = fitted_exponents(rate)
    assert exponents.dims == ("rate_rule", "seed")
    np.testing.assert_allclose(exponents, -0.7)


def test_levels_are_means_of_the_last_tenth_of_the_rounds():
    squares = np.arange(1.0, 41)[None, None]
    dims = ("spread", "floor_rule", "falling_round")
    result = xr.Dataset(
        {"falling_square": (dims, squares)}, {"spread": ["equal"], "floor_rule": ["fedhl"]}
    )
    end, quarter = claims.floor_levels(result, "equal")
    assert float(end[0]) == pytest.approx(np.mean([37, 38, 39, 40]))
    assert float(quarter[0]) == 10


@pytest.mark.full
def test_flexlora_ends_at_a_floor_and_fedhl_goes_on():
    found = floors(40, [1])
    end, quarter = claims.floor_levels(found, "equal")
    falls = (end / quarter).isel(seed=0)
    assert falls.sel(floor_rule="fedhl") < 0.5 < falls.sel(floor_rule="flexlora")
    assert end.sel(floor_rule="fedhl")[0] < 0.2 * end.sel(floor_rule="flexlora")[0]
