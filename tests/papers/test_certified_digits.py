"""The digits in small, and their picture."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.charts.saving import save
from popinv.errors import DataError
from popinv.methods.certificate import descent
from popinv.methods.certificate.requests import Goal, learn, relearn, remove
from popinv_papers.certified_unlearning import accounts, check, claims, digits
from popinv_papers.certified_unlearning.check import draw_digits
from popinv_papers.kit.images import ImageSet


def few_digits(n: int = 96, strong: float = 0.05) -> digits.Digits:
    """Threes are bright on the left, eights on the right."""
    rng = np.random.default_rng(0)
    parts = []
    for count in (4 * n, 200):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        labels[: count // 2] = rng.choice([3, 8], count // 2)
        pixels = rng.integers(0, 100, (count, 28, 28)).astype(np.uint8)
        pixels[labels == 3, :, :14] += 150
        pixels[labels == 8, :, 14:] += 150
        parts += [pixels, labels]
    return digits.digits_of(ImageSet(*parts), n, 1, strong)


def test_digits_are_units_of_two_classes():
    chosen = few_digits()
    assert chosen.features.shape == (96, 784)
    assert np.linalg.norm(chosen.test_features, axis=1) == pytest.approx(1.0)
    assert set(np.unique(chosen.targets)) == {-1.0, 1.0}
    assert np.array_equal(chosen.features[:, :14].mean(axis=1) > 0, chosen.targets[:, 0] > 0)
    with pytest.raises(DataError, match="100000 are needed"):
        digits.digits_of(
            ImageSet(*[np.zeros((1, 28, 28), "u1"), np.array([3], "u1")] * 2), 100_000, 1
        )


def test_the_authors_images_lack_eights():
    labels = np.array([8, 3, 8, 3, 8, 1, 3, 8], dtype=np.uint8)
    pixels = np.arange(8 * 784).reshape(8, 28, 28).astype(np.uint8)
    images = ImageSet(pixels, labels, pixels, labels)
    cut = digits.digits_of(images, 5, 1, 0.1, cut=True)
    assert cut.targets.ravel().tolist() == [1, 1, 1, -1, -1]


def test_digits_are_told_apart_after_requests_as_by_retraining():
    chosen = few_digits()
    served = digits.serve(chosen, 24, 0.001, Goal(1.0, 0.01), 60, 3, 2)
    assert len(served.epochs) == 3
    for accuracy in (served.learnt, served.unlearnt, served.retrained):
        assert accuracy.shape == (2,)
        assert accuracy.min() > 0.95
    noisy = digits.accuracy_after_one(chosen, 96, np.array([0.001, 3.0]), 60, 4)
    assert noisy.shape == (4, 2)
    assert noisy[:, 0].min() > 0.95 > noisy[:, 1].mean()
    assert chosen.accuracy(digits.noiseless(chosen, 200, 3)[:, None, None])[0] > 0.95
    assert 0 < digits.largest_share_of_gap(chosen, 24, 0.01, 5) <= 1


@pytest.fixture(scope="module")
def few_measured():
    """Epochs are accounted for the real digits, few requests of them; few are learnt from."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (accounts, claims, check):
            patch.setattr(module, "REQUESTS", 10)
        yield check.measure(*[few_digits(384, 0.3)] * 2, check.CertifiedSize(5, 6, 3, 3, (32,)))


@pytest.mark.full
def test_the_table_says_what_was_measured(few_measured, tmp_path):
    numbers = check.metrics(few_measured)
    # Small batches have five trials, and one batch six.
    assert few_measured["served_accuracy"].count("trial").sel(
        {"when": "learnt"}
    ).values.tolist() == [5, 5, 6]
    assert numbers["epochs_full"] == few_measured["epochs"].sel({"method": "full"}).sum()
    table = claims.claims(few_measured)
    assert {claim.source for claim in table} == {"paper", "authors' code", "this package"}
    assert {claim.status for claim in table if claim.part == "headline"} <= {
        "holds",
        "does not hold",
        "not comparable",
    }
    second = few_measured["epochs_of_second"].sum("request")
    rival = min(int(second.sel({"second_method": m})) for m in ("delete", "langevin"))
    share = next(c for c in table if c.claim.startswith("cats") and "full batch: epochs" in c.claim)
    assert share.found.mean == int(second.sel({"second_method": "full"})) / rival < 0.2
    # A tenth of the requests: their totals are not those of a hundred, and the table says so.
    totals = next(c for c in table if "agree exactly" in c.claim)
    assert (totals.found.mean, totals.status) == (0, "does not hold")
    # Bounds on runs, and epochs of one request, do not depend on the size.
    for words in ("largest distance", "largest number of epochs"):
        assert {c.status for c in table if words in c.claim} == {"holds"}
    save(draw_digits(few_measured), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_rivals_are_as_good_as_their_steps_allow(few_measured):
    accuracy = few_measured["rival_accuracy"].mean("trial")
    # One step needs a noise that leaves little of what was learnt.
    assert accuracy.sel({"rival": "delete_1"}) < 0.8
    assert accuracy.sel({"rival": ["delete", "delete_9"]}).min() > 0.9


def test_runs_of_one_partition_differ_by_their_noise_alone():
    chosen = few_digits()
    setting, records = chosen.setting(24), chosen.records(24, 0)
    noise = descent.EpochNoise(0.01, 1, "test")
    holder = learn(records, digits._LOSS, setting, noise, 3, runs=2)
    left = remove(holder, [0], Goal(1.0, 0.01))
    first, second = np.moveaxis(left.model.parameters, 2, 0)
    assert not np.allclose(first, second)
    assert relearn(left, noise).parameters.shape == (784, 1, 2)
