"""Systems removed from a read-out, the digits in small, and the pictures of both."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import xarray as xr

from popinv.downstream.certified_unlearning import accounts, claims, descent, digits, problem
from popinv.downstream.certified_unlearning.certificate import verify
from popinv.downstream.certified_unlearning.figures import draw_digits, draw_forgetting
from popinv.downstream.certified_unlearning.readout import prepare, remove_systems
from popinv.downstream.certified_unlearning.requests import Goal, learn, relearn, remove
from popinv.downstream.certified_unlearning.scale import scale_of
from popinv.downstream.certified_unlearning.section import CertifiedUnlearning
from popinv.downstream.data.images import ImageSet
from popinv.errors import ConfigError, DataError
from popinv.figures.style import save

ASKED = CertifiedUnlearning(
    systems=[3, 30],
    observation=3,
    components=2,
    epochs=4,
    batch_size=8,
    strong_convexity=0.05,
    radius=20.0,
    repeats=3,
)


def observations(n: int = 45, heldout: int = 40, d: int = 4) -> xr.Dataset:
    """Two hidden numbers of each system, seen by four sensors."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((2, d))
    y = 3 + rng.standard_normal((n + heldout, 2)) @ mixing
    y += 0.1 * rng.standard_normal(y.shape)
    y[5, 0] = np.nan
    y[7, d - 1] = np.nan
    return xr.Dataset(
        {
            "y": (("system", "observation"), y[:n]),
            "y_heldout": (("heldout_system", "observation"), y[n:]),
        }
    )


@pytest.fixture(scope="module")
def forgotten():
    return remove_systems(observations(), ASKED, 1)


# --- scale ----------------------------------------------------------------------------------------


def test_features_are_those_of_one_system_alone():
    y = observations()["y"].values
    scale = scale_of(observations()["y_heldout"].values, 3, 2)
    alone = np.concatenate([scale.features(row[None]) for row in y])
    assert np.allclose(alone, scale.features(y))
    assert np.linalg.norm(alone, axis=1).max() <= 1 + 1e-12
    # What is predicted is no feature, and a sensor that failed is taken for average.
    moved = y.copy()
    moved[:, 3] += 100
    assert np.array_equal(scale.features(moved), scale.features(y))
    average = y[5].copy()
    average[0] = scale.mean[0]
    assert np.allclose(scale.features(average[None]), scale.features(y[5][None]))
    assert np.isnan(scale.targets(y)[7, 0])


def test_components_are_white_on_the_reference():
    reference = observations()["y_heldout"].values
    scale = scale_of(reference, 0, 3)
    scaled = np.delete((reference - scale.mean) / scale.deviation, 0, axis=1) @ scale.components
    assert np.allclose(scaled.T @ scaled / len(reference), np.eye(3), atol=1e-9)
    assert scale_of(reference[:9], 0, 3).components.shape == (3, 2)


def test_a_quantity_that_tells_nothing_does_no_harm():
    reference = observations()["y_heldout"].values
    reference[:, 1] = 5.0
    reference[:, 2] = np.nan
    scale = scale_of(reference, 3, 6)
    assert scale.target == 3
    assert scale.components.shape == (3, 1)
    assert np.isfinite(scale.features(reference)).all()


def test_too_little_for_a_scale_is_refused():
    reference = observations()["y_heldout"].values
    with pytest.raises(ConfigError, match="observation is 4: must be from 0 to 3"):
        scale_of(reference, 4, 2)
    with pytest.raises(DataError, match="3 reference systems"):
        scale_of(reference[:3], 0, 2)
    with pytest.raises(DataError, match="do not vary"):
        scale_of(np.column_stack([reference[:, 0], np.ones((40, 2))]), 0, 2)
    reference[:, 0] = np.nan
    with pytest.raises(DataError, match="0 of them with that to predict"):
        scale_of(reference, 0, 2)


# --- the read-out ---------------------------------------------------------------------------------


def test_the_first_removal_takes_no_more_epochs_than_allowed():
    data = observations()
    scale = scale_of(data["y_heldout"].values, 3, 2)
    y = data["y"].values
    given = {
        k: getattr(ASKED, k)
        for k in ("epsilon", "epochs", "strong_convexity", "clipping", "radius")
    }
    readout = prepare(scale.features(y), scale.targets(y), 1, batch=8, **given)
    setting = readout.setting
    assert (setting.n, setting.batches) == (48, 6)
    delta = 1 / 45
    assert setting.epochs_for(1.0, delta, setting.gap(), readout.sigma * (1 + 1e-9), "exact") == 4
    # A little less noise would not do.
    assert setting.epochs_for(1.0, delta, setting.gap(), readout.sigma * 0.999, "exact") == 5
    filled = [readout.records.filled(record) for record in range(48)]
    assert [i for i, there in enumerate(filled) if not there] == [7, 45, 46, 47]


def test_tested_systems_of_a_file_are_not_trained_on(forgotten):
    apart = observations()
    y = np.concatenate([apart["y"].values, apart["y_heldout"].values])
    # A study of a file learns from all systems, and tests on the last.
    together = xr.Dataset(
        {
            "y": (("system", "observation"), y),
            "y_heldout": (("heldout_system", "observation"), apart["y_heldout"].values),
        },
        attrs={"folds": 1},
    )
    result, metrics, _ = remove_systems(together, ASKED, 1)
    np.testing.assert_array_equal(result["error"], forgotten[0]["error"])
    assert metrics == forgotten[1]


def test_systems_are_removed_one_by_one_and_at_once(forgotten):
    result, metrics, documents = forgotten
    assert metrics["epochs_sequence"] == int(result["epochs"].sum())
    assert metrics["epochs_batch"] <= metrics["epochs_sequence"]
    assert metrics["epochs_batch"] < metrics["epochs_anew"]
    assert metrics["epsilon"] <= 1.0
    for way in ("learnt", "sequence", "batch", "anew", "noiseless"):
        # Better than their mean would do.
        assert metrics[f"error_{way}"] < 0.8
    sequence, batch = documents["sequence"], documents["batch"]
    for document in (sequence, batch):
        verify(document)
        assert "Not covered: the study's law" in document["covers"]
        assert document["partition"]["seed"] == 1
    assert [r["records"] for r in sequence["requests"]] == [[3], [30]]
    assert [r["records"] for r in batch["requests"]] == [[3, 30]]
    assert sequence["remaining_records_sha256"] == batch["remaining_records_sha256"]
    unlearnt = result["parameters"].sel(way="sequence").values
    digest = hashlib.sha256(unlearnt.astype("<f8").tobytes()).hexdigest()
    assert sequence["parameters_sha256"] == digest


def test_seeded_noise_is_the_same_again_and_secret_noise_is_not(forgotten):
    again, _, _ = remove_systems(observations(), ASKED, 1)
    xr.testing.assert_identical(again, forgotten[0])
    secret, _, documents = remove_systems(
        observations(), ASKED.model_copy(update={"noise": "secret"}), 1
    )
    assert not np.array_equal(secret["parameters"], again["parameters"])
    assert documents["batch"]["noise"] == "The noise was drawn anew, and its seed was discarded."
    assert "Anyone who has the seed" in forgotten[2]["batch"]["noise"]


def test_the_middle_quantity_is_predicted_unless_another_is_named():
    _, _, documents = remove_systems(
        observations(), ASKED.model_copy(update={"observation": None, "repeats": 2}), 1
    )
    assert "predicts observed quantity 2 from" in documents["batch"]["covers"]


def test_names_of_systems_are_those_of_the_file():
    data = observations().assign_coords(system_id=("system", [f"bore {i}" for i in range(45)]))
    _, _, documents = remove_systems(data, ASKED.model_copy(update={"repeats": 2}), 1)
    assert documents["batch"]["requests"][0]["names"] == ["bore 3", "bore 30"]


@pytest.mark.parametrize(
    ("systems", "said"),
    [([3, 45], "from 0 to 44"), ([3, 3], "different"), ([7], r"\[7\] are not there")],
)
def test_systems_that_are_not_there_are_refused(systems, said):
    # The last was not observed where the read-out predicts, so that nothing was learnt from it.
    with pytest.raises(ConfigError, match=said):
        remove_systems(observations(), ASKED.model_copy(update={"systems": systems}), 1)


def test_held_out_systems_without_what_is_predicted_are_refused():
    data = observations()
    data["y_heldout"][20:, 3] = np.nan
    with pytest.raises(DataError, match="no observations that differ"):
        remove_systems(data, ASKED, 1)


def test_a_picture_of_forgetting(forgotten, tmp_path):
    save(draw_forgetting(forgotten[0]), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


# --- digits ---------------------------------------------------------------------------------------


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
        for module in (accounts, claims, problem):
            patch.setattr(module, "REQUESTS", 10)
        yield problem.measure(few_digits(384, 0.3), problem.Size(5, 3, 3, (32,)))


def test_the_table_says_what_was_measured(few_measured, tmp_path):
    numbers = problem.metrics(few_measured)
    assert numbers["epochs_full"] == few_measured["epochs"].sel({"method": "full"}).sum()
    table = claims.claims(few_measured)
    assert {claim.source for claim in table} == {"paper", "authors' code", "this package"}
    assert {claim.status for claim in table if claim.part == "headline"} <= {
        "holds",
        "does not hold",
        "not comparable",
    }
    # A tenth of the requests: their totals are not those of a hundred, and the table says so.
    totals = next(c for c in table if "agree exactly" in c.claim)
    assert (totals.found.mean, totals.status) == (0, "does not hold")
    # Bounds on runs, and epochs of one request, do not depend on the size.
    for words in ("largest distance", "largest number of epochs"):
        assert {c.status for c in table if words in c.claim} == {"holds"}
    save(draw_digits(few_measured), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_rivals_are_as_good_as_their_steps_allow(few_measured):
    accuracy = few_measured["rival_accuracy"].mean("trial")
    # One step needs a noise that leaves little of what was learnt.
    assert accuracy.sel({"rival": "delete_1"}) < 0.8
    assert accuracy.sel({"rival": ["delete", "delete_9"]}).min() > 0.9


def test_runs_of_one_partition_differ_by_their_noise_alone():
    chosen = few_digits()
    setting, records = chosen.setting(24), chosen.records(24, 0)
    noise = descent.Noise(0.01, 1, "test")
    holder = learn(records, digits._LOSS, setting, noise, 3, runs=2)
    left = remove(holder, [0], Goal(1.0, 0.01))
    first, second = np.moveaxis(left.model.parameters, 2, 0)
    assert not np.allclose(first, second)
    assert relearn(left, noise).parameters.shape == (784, 1, 2)
