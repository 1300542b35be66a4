"""Learning, unlearning and their certificate, on records of a few numbers."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from popinv.errors import ConfigError, DataError, DivergenceError
from popinv.methods.certificate.accountant import Setting
from popinv.methods.certificate.descent import (
    EpochNoise,
    IndependentRuns,
    Linear,
    Partition,
    Records,
    iterate,
    project,
    run,
    start,
)
from popinv.methods.certificate.requests import (
    Goal,
    certificate,
    learn,
    relearn,
    remove,
    verify,
    write_certificate,
)
from popinv_papers.certified_unlearning.digits import Logistic, setting_of

NOISE = EpochNoise(0.05, seed=987_654, stage="test")
GOAL = Goal(1.0, 1 / 24)


@dataclass(frozen=True)
class Quadratic:
    """(z - y)^2/2, whose unbounded slope no guarantee covers; for exact laws."""

    curvature: float = 1.0
    steepness: float = math.inf

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return z - y."""
        return z - y


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    x = rng.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def classes(n: int = 24, d: int = 3, batch: int = 6, outputs: int = 1, seed: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    x = unit(rng, n, d)
    y = np.sign(x[:, :outputs] + 0.3 * rng.standard_normal((n, outputs)))
    return Records.of(x, y, Partition(n, batch, 7, "test"))


def features(records: Records) -> np.ndarray:
    return np.concatenate([batch.features for batch in records.batches])


def constants(records: Records, loss=None, strong: float = 0.1, **changes) -> Setting:
    batch, (_, outputs) = records.partition.batch, records.shape
    return setting_of(loss or Logistic(), features(records), outputs, strong, batch, **changes)


# --- losses and records ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Logistic(), Linear(1.0)])
def test_losses_are_as_steep_and_as_curved_as_they_say(loss):
    z = np.linspace(-30, 30, 60_001)
    for y in (-1.0, 1.0):
        slope = loss.slope(z, np.full_like(z, y))
        curvature = np.diff(slope) / np.diff(z)
        assert np.abs(slope).max() == pytest.approx(loss.steepness)
        assert curvature.max() == pytest.approx(loss.curvature, rel=1e-5)
        assert curvature.min() >= -1e-9


def test_slope_of_the_logistic_loss():
    z, step = np.array([-2.0, 0.3, 4.0]), 1e-6
    for y in (-1.0, 1.0):
        difference = np.logaddexp(0, -y * (z + step)) - np.logaddexp(0, -y * (z - step))
        assert Logistic().slope(z, np.full(3, y)) == pytest.approx(
            difference / (2 * step), rel=1e-6
        )


def test_constants_bound_what_a_record_can_do():
    records = classes(outputs=2)
    setting = constants(records)
    assert setting.lipschitz == pytest.approx(math.sqrt(2))
    assert setting.smooth == 0.35
    rng = np.random.default_rng(1)
    batch = records.batches[0]
    for _ in range(50):
        w, v = 5 * rng.standard_normal((2, 3, 2, 1))
        # An iteration brings two points closer by c at least, on any batch.
        ends = [iterate(p, batch, Logistic(), setting, 0.0) for p in (w, v)]
        assert np.linalg.norm(ends[0] - ends[1]) <= setting.contraction * np.linalg.norm(w - v)
        # One record more or less moves it by at most 2 eta M/b, and an empty place by half of it.
        record = int(records.partition.order[0])
        x, y = unit(rng, 1, 3)[0], rng.choice([-1.0, 1.0], 2)
        for changed, share in (
            (records.replaced(record, x, y), 2.0), (records.emptied(record), 1.0),
        ):  # fmt: skip
            moved = iterate(w, changed.batches[0], Logistic(), setting, 0.0)
            most = share * setting.rate * setting.lipschitz / setting.batch
            assert np.linalg.norm(moved - ends[0]) <= most * (1 + 1e-12)


def test_features_beyond_the_bound_are_refused():
    records = classes()
    with pytest.raises(ConfigError, match=r"feature of length 1, but .* at most 0.5"):
        constants(records, bound=0.5)
    with pytest.raises(ConfigError, match="clip the gradients"):
        constants(records, loss=Quadratic())
    broken = features(records)
    broken[3, 1] = np.nan
    with pytest.raises(ConfigError, match="length nan"):
        setting_of(Logistic(), broken, 1, 0.1, 6)


def test_one_record_changes_and_all_others_stay():
    # The published code draws all earlier replacements anew at each request.
    records = classes()
    first = records.replaced(4, np.array([1.0, 0, 0]), np.ones(1))
    second = first.replaced(17, np.array([0, 1.0, 0]), -np.ones(1))
    changed = [
        int((features(a) != features(b)).any(axis=1).sum())
        for a, b in ((records, first), (first, second), (records, second))
    ]
    assert changed == [1, 1, 2]
    number, place = records.partition.place(4)
    assert second.record(4)[0].tolist() == [1, 0, 0]
    assert records.partition.order[number * 6 + place] == 4
    untouched = [a is b for a, b in zip(records.batches, first.batches, strict=True)]
    assert untouched.count(False) == 1
    assert records.sha256 != first.sha256 != second.sha256


def test_the_partition_is_that_of_its_seed():
    partition = Partition(24, 6, 7, "test")
    assert sorted(partition.order) == list(range(24))
    assert partition.sha256 == Partition(24, 6, 7, "test").sha256
    assert partition.sha256 != Partition(24, 6, 8, "test").sha256
    counts = partition.counts([int(r) for r in partition.order[:7]])
    assert counts.tolist() == [6, 1, 0, 0]
    with pytest.raises(ConfigError, match="23 features"):
        Records.of(np.zeros((23, 2)), np.zeros((23, 1)), partition)


# --- the iteration --------------------------------------------------------------------------------


def test_exactly_so_many_epochs_are_run():
    # The published code runs one more.
    records = classes()
    setting = constants(records)
    model = start(records, setting, NOISE, 1)
    once = run(model, records, Logistic(), setting, NOISE, 3)
    assert once.epochs == 3
    quiet = replace(NOISE, sigma=0.0)
    w = model.parameters
    for _ in range(2):
        for batch in records.batches:
            z = batch.features @ w[:, 0, 0]
            pull = batch.features.T @ Logistic().slope(z, batch.targets[:, 0]) / 6
            w = w - setting.rate * (pull[:, None, None] + 0.1 * w)
    by_run = run(model, records, Logistic(), setting, quiet, 2).parameters
    assert by_run == pytest.approx(w)
    begun = run(model, records, Logistic(), setting, NOISE, 1)
    cut = run(begun, records, Logistic(), setting, NOISE, 2)
    assert np.array_equal(cut.parameters, once.parameters)


def test_noise_has_the_variance_of_the_paper():
    records = classes(batch=24)
    setting = constants(records)
    sigma = np.repeat([0.1, 0.7], 20_000)
    model = IndependentRuns(np.zeros((3, 1, len(sigma))))
    noise = replace(NOISE, sigma=sigma)
    after = run(model, records, Logistic(), setting, noise, 1).parameters
    calm = run(model, records, Logistic(), setting, replace(NOISE, sigma=0.0), 1).parameters
    for which in (slice(0, 20_000), slice(20_000, None)):
        expected = math.sqrt(2 * setting.rate) * sigma[which][0]
        pushes = (after - calm)[:, :, which]
        assert pushes.std() == pytest.approx(expected, rel=0.02)
        assert abs(pushes.mean()) < 4 * expected / math.sqrt(60_000)


def test_projection_leaves_what_is_inside():
    # A branch of the published code stretches all parameters to the sphere.
    inside, outside = np.array([0.3, 0.4]), np.array([3.0, 4.0])
    both = np.stack([inside, outside], axis=1)[:, None, :]
    projected = project(both, 2.0)
    assert projected[:, 0, 0].tolist() == inside.tolist()
    assert projected[:, 0, 1] == pytest.approx([1.2, 1.6])
    assert project(both, math.inf) is both
    assert project(np.zeros((2, 1, 1)), 1.0).tolist() == [[[0.0]], [[0.0]]]


def test_the_start_lies_in_the_ball():
    records = classes()
    wide = start(records, constants(records), replace(NOISE, sigma=3.0), 400).parameters
    assert wide.std() == pytest.approx(math.sqrt(2 / 0.1) * 3, rel=0.1)
    ball = constants(records, radius=1.5)
    inside = start(records, ball, replace(NOISE, sigma=3.0), 400)
    lengths = np.linalg.norm(inside.parameters, axis=0)
    assert lengths.max() <= 1.5 * (1 + 1e-12)
    assert not start(records, constants(records, strong=0.0), NOISE, 1).parameters.any()


def test_the_start_is_as_wide_as_the_law_without_data():
    # sigma^2/m is the variance of w <- c w + N(0, 2 eta sigma^2) for small eta, and the start's is
    # twice that.
    records = classes()
    draws = start(records, constants(records, strong=0.1), NOISE, 2000).parameters
    assert draws.std() == pytest.approx(math.sqrt(2 / 0.1) * NOISE.sigma, rel=0.04)


def test_a_request_carries_what_is_left_of_those_before():
    records = classes()
    setting = constants(records)
    holder = learn(records, Logistic(), setting, NOISE, 2, 1)
    left = 0.0
    for record in (0, 5, 9):
        holder = remove(holder, [record], GOAL)
        served = holder.removals[-1]
        assert served.gap == pytest.approx(left + served.own_gap)
        assert left == 0 or left > 0.01 * served.own_gap
        left = setting.contraction ** (served.epochs * setting.batches) * served.gap
        assert holder.left == pytest.approx(left)


def test_records_must_be_divided_as_the_constants_say():
    records, begin = classes(), IndependentRuns(np.zeros((3, 1, 1)))
    setting = replace(constants(records), batch=8)
    said = "batches of 6, but the constants are for 24 in batches of 8"
    with pytest.raises(ConfigError, match=said):
        run(begin, records, Logistic(), setting, NOISE, 1)


def test_parameters_that_are_not_finite_are_not_published():
    records, begin = classes(), IndependentRuns(np.full((3, 1, 1), np.inf))
    with pytest.raises(DivergenceError), np.errstate(invalid="ignore"):
        run(begin, records, Logistic(), constants(records), NOISE, 1)


# --- distances ------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [math.inf, 0.4])
@pytest.mark.parametrize("removed", [(3,), (0, 5, 9, 14)])
def test_runs_with_the_same_noise_stay_within_the_gap(radius, removed):
    records = classes()
    setting = constants(records, radius=radius)
    other = records
    for record in removed:
        # As adverse as can be: the same feature with the other label.
        feature, target = records.record(record)
        other = other.replaced(record, feature, -target)
    counts = records.partition.counts(removed)
    models = [start(records, setting, NOISE, 50)] * 2
    reached = 0.0
    for epochs in range(1, 25):
        models = [
            run(model, data, Logistic(), setting, NOISE, 1)
            for model, data in zip(models, (records, other), strict=True)
        ]
        gap = np.linalg.norm(models[0].parameters - models[1].parameters, axis=(0, 1)).max()
        assert gap <= setting.gap_of(counts, epochs) * (1 + 1e-12)
        reached = max(reached, gap / setting.gap_of(counts, epochs))
    assert reached > (0.2 if radius == math.inf else 0.05)


def test_requests_in_sequence_stay_within_what_is_carried():
    records = classes()
    setting = constants(records, emptied=True)
    holder = learn(records, Logistic(), setting, NOISE, 5, 1)
    for number, record in enumerate((2, 11, 20, 7), start=1):
        holder = remove(holder, [record], Goal(0.3, 0.01))
        anew = relearn(holder, NOISE)
        # The same noise, on what is left from the start: the coupling of the proof.
        assert anew.epochs == holder.model.epochs
        gap = np.linalg.norm(anew.parameters - holder.model.parameters)
        assert 0 < gap <= holder.left
        assert len(holder.removals) == number


@dataclass(frozen=True)
class Linear:
    """A loss y z, whose slope knows nothing of z: all laws are normal."""

    curvature: float = 0.0
    steepness: float = 1.0

    def slope(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.broadcast_to(y, z.shape)


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_guarantee_holds_for_normal_laws(epochs):
    records = classes()
    loss = Linear()
    setting = replace(constants(records), rate=0.9, smooth=1.0, strong=0.2)
    counts = records.partition.counts([8])
    feature, target = records.record(8)
    other = records.replaced(8, feature, -target)
    quiet, learnt, sigma = EpochNoise(0.0, 1, "quiet"), 6, 0.3
    begin = IndependentRuns(np.zeros((3, 1, 1)))
    unlearnt = run(
        run(begin, records, loss, setting, quiet, learnt), other, loss, setting, quiet, epochs
    )
    retrained = run(begin, other, loss, setting, quiet, learnt + epochs)
    distance = np.linalg.norm(unlearnt.parameters - retrained.parameters)
    gap = setting.gap_of(counts, learnt)
    # Adverse records reach the gap, so that the bound on the means is met.
    assert distance == pytest.approx(setting.shrunk(gap, epochs))
    c, steps = setting.contraction, epochs * 4
    of_unlearning = 2 * setting.rate * sigma**2 * (1 - c ** (2 * steps)) / (1 - c**2)
    everything = of_unlearning + c ** (2 * steps) * (
        2 * setting.rate * sigma**2 * (1 - c ** (8 * learnt)) / (1 - c**2)
    )
    tight, exact, paper = (
        setting.coefficient(gap, sigma, epochs, f) for f in ("tight", "exact", "paper")
    )
    assert distance**2 / (2 * of_unlearning) == pytest.approx(tight)
    assert distance**2 / (2 * everything) < tight < exact < paper


def test_unlearning_has_the_law_of_retraining():
    # Many runs: means and deviations of both agree, and those without unlearning do not.
    rng = np.random.default_rng(4)
    x = unit(rng, 24, 2)
    x[0] = [1.0, 0.0]
    y = np.where(np.arange(24)[:, None] == 0, 1.0, np.sign(x[:, 1:]))
    records = Records.of(x, y, Partition(24, 6, 7, "test"))
    setting = constants(records, strong=0.05)
    noise = EpochNoise(0.02, 3, "law")
    model = run(start(records, setting, noise, 4000), records, Logistic(), setting, noise, 30)
    left = records.emptied(0)
    unlearnt = run(model, left, Logistic(), setting, noise, 12).parameters[:, 0]
    other = replace(noise, stage="anew")
    anew = run(start(left, setting, other, 4000), left, Logistic(), setting, other, 42).parameters[
        :, 0
    ]
    error = anew.std(axis=1) / math.sqrt(2000)
    assert np.all(np.abs(unlearnt.mean(axis=1) - anew.mean(axis=1)) < 4 * error)
    assert unlearnt.std(axis=1) == pytest.approx(anew.std(axis=1), rel=0.06)
    assert np.abs(model.parameters[:, 0].mean(axis=1) - anew.mean(axis=1)).max() > 10 * error.max()


# --- requests -------------------------------------------------------------------------------------


def held(**changes):
    records = classes()
    setting = constants(records, **({"emptied": True} | changes))
    return learn(records, Logistic(), setting, NOISE, 4, 1)


def test_a_batch_of_records_in_one_request():
    holder = held()
    together = remove(holder, [2, 11, 20], GOAL)
    last = together.removals[-1]
    assert last.gap == pytest.approx(
        holder.setting.gap_of(holder.records.partition.counts([2, 11, 20]))
    )
    assert last.epsilon <= 1.0
    assert together.model.epochs == 4 + last.epochs
    assert together.records.sha256 == holder.records.emptied(20).emptied(2).emptied(11).sha256
    one_by_one = holder
    for record in (2, 11, 20):
        one_by_one = remove(one_by_one, [record], GOAL)
    assert one_by_one.records.sha256 == together.records.sha256
    assert sum(r.epochs for r in one_by_one.removals) >= last.epochs


def test_more_is_asked_of_a_smaller_epsilon():
    epochs = [remove(held(), [3], Goal(e, 0.01)).removals[0].epochs for e in (1.0, 0.1, 0.01)]
    assert epochs == sorted(epochs)
    assert epochs[0] < epochs[-1]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([24], "different numbers from 0 to 23"),
        ([-1], "different numbers from 0 to 23"),
        ([3, 3], "different numbers from 0 to 23"),
        ([], "different numbers from 0 to 23"),
        ([1, 5], r"records \[5\] are not there: removed before"),
    ],
)
def test_requests_for_what_is_not_there_are_refused(asked, said):
    holder = remove(held(), [5], GOAL)
    with pytest.raises(ConfigError, match=said):
        remove(holder, asked, GOAL)


def test_replacements_that_the_guarantee_does_not_cover_are_refused():
    x, y = np.array([[1.0, 0, 0]]), np.ones((1, 1))
    with pytest.raises(ConfigError, match="learn with emptied=False"):
        remove(held(), [3], GOAL, (x, y))
    holder = held(emptied=False)
    with pytest.raises(ConfigError, match="length 2, but the guarantee is for at most 1"):
        remove(holder, [3], GOAL, (2 * x, y))
    with pytest.raises(ConfigError, match=r"shapes \(1, 3\) and \(1, 1\), must have \(2, 3\)"):
        remove(holder, [3, 4], GOAL, (x, y))
    replaced = remove(holder, [3], GOAL, (x, y))
    assert replaced.records.filled(3)
    assert remove(holder, [3], GOAL).removals[0].gap == replaced.removals[0].gap


def test_more_epochs_than_allowed_are_refused():
    with pytest.raises(ConfigError, match=r"takes \d+ epochs, at most 1 are allowed"):
        remove(held(), [3], Goal(1e-4, 0.01, most_epochs=1))


def test_learning_that_nothing_covers_is_refused():
    records = classes()
    setting = constants(records)
    with pytest.raises(ConfigError, match="clip the targets"):
        learn(records, Quadratic(), setting, NOISE, 1, 1)
    for sigma in (0.0, -1.0, math.nan, np.array([0.1, 0.2])):
        with pytest.raises(ConfigError, match="must be one positive number"):
            learn(records, Logistic(), setting, replace(NOISE, sigma=sigma), 1, 1)


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served():
    holder = remove(held(radius=9.0), [5], Goal(0.2, 0.01))
    return remove(holder, [1, 8], Goal(0.4, 0.01, "tight"))


def test_the_certificate_says_what_was_removed_and_what_it_is_worth(served, tmp_path):
    names = [f"site {i}" for i in range(24)]
    write_certificate(
        certificate(served, noise="secret", names=names), tmp_path / "certificate.json"
    )
    document = json.loads((tmp_path / "certificate.json").read_text())
    assert [r["names"] for r in document["requests"]] == [["site 5"], ["site 1", "site 8"]]
    assert document["constants"]["sigma"] == 0.05
    assert document["constants"]["radius"] == 9.0
    assert document["partition"]["seed"] == 7
    assert document["requests"][1]["epsilon"] <= 0.4
    assert "removed 3 of 24 records" in document["statement"]
    assert str(NOISE.seed) not in json.dumps(document)
    assert document["parameters_sha256"] == served.parameters_sha256
    verify(document, served.records)
    with pytest.raises(DataError, match="not those that the certificate says are left"):
        verify(document, classes())


def test_nothing_removed_is_said(served):
    plain = certificate(held(), noise="secret")
    verify(plain)
    assert plain["statement"] == "No record was removed."
    assert plain["constants"]["radius"] is None


def changed(document, keys, value):
    other = copy.deepcopy(document)
    place = other
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return other


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("requests", 0, "epsilon"), 0.001, "request 1: epsilon"),
        (("requests", 0, "epochs"), 1, "request 1: coefficient"),
        (("requests", 1, "gap"), 1e-9, "request 2: gap"),
        (("requests", 1, "records"), [1, 22], "not in the batches"),
        (("requests", 1, "records"), [1, 1], "request 2: a record is removed twice"),
        (("requests", 1, "epsilon_asked"), 0.01, "more than was requested"),
        (("requests", 0, "places"), "filled by other records", "stay empty"),
        (("constants", "sigma"), 0.5, "request 1: coefficient"),
        (("constants", "strong"), 0.2, "request 1: own_gap"),
        (("constants", "rate"), 40.0, "give no guarantee: the learning rate"),
        (("partition", "seed"), 8, "not follow from its seed"),
        (("partition", "sha256"), "0", "not follow from its seed"),
        (("epochs",), 5, "add up"),
        (("version",), 0, "version"),
        (("constants",), {}, "not complete: constants.n: Field required"),
        (("requests", 0, "epochs"), "5", "not complete: requests.0.epochs"),
        (("requests", 0, "records"), [99], "not complete"),
    ],
)
def test_a_certificate_that_does_not_follow_is_found_out(served, keys, value, said, tmp_path):
    wrong = changed(certificate(served, noise="secret"), keys, value)
    with pytest.raises(DataError, match=said):
        verify(wrong)
    with pytest.raises(DataError, match=said):
        write_certificate(wrong, tmp_path / "certificate.json")
    assert not (tmp_path / "certificate.json").exists()
