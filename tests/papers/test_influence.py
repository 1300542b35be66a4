"""Gradients, scores, weights, landmarks and selections against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist

from popinv.errors import ConfigError
from popinv_papers.influence import costs, influence, networks, pool_scores, selection
from popinv_papers.influence.influence import Flat
from popinv_papers.influence.selection import round_robin, top


def softmax_problem(count=12, features=3, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    flat = Flat.of(networks.Perceptron(features, classes, depth=0).double())
    x = torch.from_numpy(rng.standard_normal((count, features)))
    y = torch.from_numpy(rng.integers(0, classes, count))
    return flat, networks.classification_losses(flat), (x, y)


def transformer_problem(count=8, seed=1):
    torch.manual_seed(seed)
    flat = Flat.of(networks.Transformer(11, 6, width=8, heads=2, layers=2).double())
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(1, 11, (count, 7)))
    return flat, networks.language_losses(flat), (tokens,)


def test_gradients_and_hessian_of_softmax_regression():
    flat, losses, (x, y) = softmax_problem()
    theta = flat.theta
    share = torch.softmax(flat(theta, x), dim=1)
    gap = share - torch.nn.functional.one_hot(y, 4)
    # The weights come first in the vector, class by class, then the offsets.
    expected = torch.cat([torch.einsum("nc,nf->ncf", gap, x).flatten(1), gap], dim=1)
    derivatives = influence.sample_gradients(losses, theta, (x, y), rows=5)
    torch.testing.assert_close(derivatives, expected)
    mean = influence.mean_gradient(losses, theta, (x, y), rows=7)
    torch.testing.assert_close(mean, expected.mean(dim=0))
    v = torch.from_numpy(np.random.default_rng(1).standard_normal(len(theta)))
    # H = mean over samples of (diag s - s s^T) x (x,1)(x,1)^T.
    inputs = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    moved = inputs @ torch.cat([v[:12].view(4, 3), v[12:, None]], dim=1).T
    curved = share * moved - share * (share * moved).sum(dim=1, keepdim=True)
    product = torch.einsum("nc,nf->cf", curved, inputs) / len(x)
    expected_product = torch.cat([product[:, :3].reshape(-1), product[:, 3]])
    derivatives = influence.hessian_product(losses, theta, (x, y), v, rows=5)
    torch.testing.assert_close(derivatives, expected_product)


def test_gradients_of_a_transformer_are_those_of_autograd():
    flat, losses, samples = transformer_problem()
    theta = flat.theta
    rows = influence.sample_gradients(losses, theta, samples)
    for row, tokens in zip(rows, samples[0], strict=True):
        leaf = theta.clone().requires_grad_(True)
        (expected,) = torch.autograd.grad(losses(leaf, tokens[None])[0], leaf)
        torch.testing.assert_close(row, expected)


def test_a_transformer_does_not_look_ahead():
    flat, _, (tokens,) = transformer_problem()
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 11
    before, after = (flat(flat.theta, t[:, :6]) for t in (tokens, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().max() > 1e-3


def test_weights_that_do_not_vary_are_left_out_of_the_vector():
    model = networks.Perceptron(3, 2, width=4)
    flat = Flat.of(model, lambda name: name.startswith("head"))
    assert len(flat.theta) == 10
    x = torch.ones(2, 3)
    torch.testing.assert_close(flat(flat.theta, x), model(x))


@pytest.mark.parametrize("problem", [softmax_problem, transformer_problem])
@pytest.mark.parametrize("kind", ["gradient", "adam"])
def test_errors_of_the_predicted_change_are_of_second_and_third_order(problem, kind):
    flat, losses, samples = problem()
    theta = flat.theta
    half = len(samples[0]) // 2
    pool, target = [tuple(t[s] for t in samples) for s in (slice(half), slice(half, None))]
    g = influence.mean_gradient(losses, theta, target)
    noise = torch.from_numpy(np.random.default_rng(3).standard_normal((2, len(theta))))
    step = {
        "gradient": lambda: influence.gradient_step(theta),
        "adam": lambda: influence.adam_step(
            theta, 0.1 * noise[0], 1 + noise[1] ** 2, 5, weight_decay=0.1
        ),
    }[kind]()

    def hessian(v):
        return influence.hessian_product(losses, theta, target, v)

    rows = influence.sample_gradients(losses, theta, pool)
    w = torch.linspace(0, 2, half, dtype=theta.dtype)
    move = step.move(rows.T @ w / half)
    rates, errors = np.array([8e-3, 4e-3]), {1: [], 2: []}
    for rate in rates:
        before = influence.mean_loss(losses, theta, target)
        actual = influence.mean_loss(losses, theta - rate * move, target) - before
        errors[1].append(abs(influence.predicted_change(move, g, rate) - actual))
        errors[2].append(abs(influence.predicted_change(move, g, rate, hessian) - actual))
    assert np.log2(errors[1][0] / errors[1][1]) == pytest.approx(2, abs=0.1)
    assert np.log2(errors[2][0] / errors[2][1]) == pytest.approx(3, abs=0.15)
    # p and Q are this expansion, as a function of the weights.
    rate = 0.02
    p = influence.linear_scores(rows, g, step, rate, hessian)
    matrix = influence.quadratic_matrix(rows, step, hessian)
    f = float(-p @ w + rate / 2 * w @ matrix @ w)
    still = influence.predicted_change(step.drift, g, rate, hessian)
    whole = influence.predicted_change(move, g, rate, hessian)
    assert whole - still == pytest.approx(rate / half * f, rel=1e-9)
    first = influence.scores_of(rows, g, step)
    torch.testing.assert_close(first, rows @ (step.scale * g))


def test_adam_step_is_that_of_torch_up_to_the_steps_own_second_moment():
    rng = np.random.default_rng(0)
    theta = torch.nn.Parameter(torch.from_numpy(rng.standard_normal(5)))
    betas, decay, rate = (0.8, 0.9), 0.1, 1e-2
    adam = torch.optim.AdamW([theta], lr=rate, betas=betas, weight_decay=decay)
    for _ in range(3):
        theta.grad = torch.from_numpy(rng.standard_normal(5))
        adam.step()
    state = {k: v.clone() for k, v in adam.state[theta].items()}
    before = theta.detach().clone()
    step = influence.adam_step(
        before, state["exp_avg"], state["exp_avg_sq"], 3, betas, weight_decay=decay
    )
    # A gradient whose square is v itself changes v not at all, but for its decay.
    gradient = torch.sqrt(state["exp_avg_sq"])
    theta.grad = gradient
    adam.step()
    torch.testing.assert_close(before - rate * step.move(gradient), theta.detach())


def test_adam_without_a_step_has_no_second_moment():
    with pytest.raises(ConfigError, match="warm up"):
        influence.adam_step(torch.zeros(2), torch.zeros(2), torch.zeros(2), 0)


def test_robust_weights_are_the_minimum_and_their_support_the_best_k():
    p = np.random.default_rng(0).standard_normal(30)
    for size in (1, 7, 29, 30):
        w, penalty = selection.weights_of_size(p, size)
        assert w.sum() == pytest.approx(30)
        assert set(np.flatnonzero(w > 0)) == set(top(p, size))
        nothing = np.zeros((30, 30))
        assert abs(selection.first_order_gap(p, nothing, 1.0, penalty, w)) < 1e-12
        lower, upper = selection.penalty_interval(p, size)
        if size < 30:
            assert (selection.robust_weights(p, upper) > 1e-12).sum() == size
            assert (selection.robust_weights(p, upper * 1.01) > 1e-12).sum() == size + 1
        if size > 1:
            assert (selection.robust_weights(p, lower * 0.99) > 1e-12).sum() == size - 1


def test_second_order_weights_are_those_of_a_general_solver():
    rng = np.random.default_rng(1)
    p = rng.standard_normal(8)
    root = rng.standard_normal((8, 3))
    matrix = root @ np.diag([1.0, 0.5, -0.02]) @ root.T
    rate, penalty = 0.5, 0.3
    computed = selection.quadratic_weights(p, matrix, rate, penalty)

    def objective(w):
        return -p @ w + rate / 2 * w @ matrix @ w + penalty / 2 * w @ w

    def slope(w):
        return -p + rate * matrix @ w + penalty * w

    expected = minimize(
        objective, np.ones(8), jac=slope, bounds=[(0, None)] * 8, method="SLSQP",
        constraints={"type": "eq", "fun": lambda w: w.sum() - 8}, options={"ftol": 1e-14},
    )  # fmt: skip
    np.testing.assert_allclose(computed, expected.x, atol=1e-5)
    # Without curvature they are the closed form.
    flat = selection.quadratic_weights(p, 0 * matrix, rate, penalty)
    np.testing.assert_allclose(flat, selection.robust_weights(p, penalty), atol=1e-8)


def test_second_order_penalises_a_duplicate_that_first_order_takes():
    # Samples 0 and 1 are the same; 2 is nearly as good and points elsewhere.
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.9], [-1.0, 0.0]], dtype=torch.float64)
    g = torch.ones(2, dtype=torch.float64)
    step = influence.gradient_step(g)
    p = influence.scores_of(rows, g, step).numpy()
    assert set(top(p, 2)) == {0, 1}
    matrix = influence.quadratic_matrix(rows, step, lambda v: v).numpy()
    w = selection.quadratic_weights(p, matrix, 1.0, 0.05)
    assert w[2] > w[0] == pytest.approx(w[1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: selection.penalty_interval(np.array([2.0, 1, 1]), 2), "both 1"),
        (lambda: selection.penalty_interval(np.ones(3), 4), "must lie in 1..3"),
        (lambda: selection.robust_weights(np.array([1.0, np.nan]), 1), "1 that are not finite"),
        (lambda: selection.robust_weights(np.ones(2), 0), "must be positive"),
        (lambda: selection.quadratic_weights(np.ones(2), -np.eye(2), 1, 0.5), "must exceed 1"),
        (lambda: top(np.ones(3), 0), "must lie in 1..3"),
        (lambda: round_robin(np.ones((3, 2)), 4), "must lie in 1..3"),
        (lambda: pool_scores.draw_landmarks(3, 4, np.random.default_rng(0)), "of the pool"),
        (
            lambda: pool_scores.kernel_spread(np.ones((4, 2)), np.arange(4), np.ones(4)),
            "same embedding",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_target_samples_choose_in_turns():
    scores = np.array([[5.0, 4], [4, 5], [3, 9], [9, 8]])
    # The first takes 3, the second 2; the first then 0, the second 1.
    assert round_robin(scores, 4).tolist() == [3, 2, 0, 1]
    # Where both want the same sample, the second takes its next.
    assert round_robin(scores[:, [0, 0]], 3).tolist() == [3, 0, 1]
    drawn = round_robin(scores, 2, np.random.default_rng(0))
    assert set(drawn) == {3, 2}


def test_the_order_of_the_turns_is_drawn_anew_in_every_round():
    # Each of three target samples wants samples of its own.
    owner = np.arange(60) % 3
    scores = np.where(owner[:, None] == np.arange(3), 1.0, 0.0)
    taken = owner[round_robin(scores, 60, np.random.default_rng(0))].reshape(20, 3)
    assert (np.sort(taken, axis=1) == np.arange(3)).all()
    assert len({tuple(turn) for turn in taken}) > 3


def test_cosines_are_those_of_scaled_gradients():
    rows = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    target = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    step = influence.Step(torch.tensor([1.0, 2.0]), torch.zeros(2))
    cosines = influence.cosine_scores(rows, target, step)
    expected = torch.tensor([[1.0, 0.0], [0.2**0.5, 0.8**0.5], [0.0, 0.0]])
    torch.testing.assert_close(cosines, expected)


@pytest.mark.parametrize("spread", [pool_scores.kernel_spread, pool_scores.linear_spread])
def test_all_samples_as_landmarks_recover_the_exact_scores(spread):
    rng = np.random.default_rng(0)
    embeddings, scores = rng.standard_normal((20, 25)), rng.standard_normal((20, 3))
    everything = np.arange(20)
    recovered = spread(embeddings, everything, scores, damping=1e-10)
    np.testing.assert_allclose(recovered, scores, atol=1e-6)
    # Damping shrinks them.
    damped = spread(embeddings, everything, scores, damping=1.0)
    assert np.linalg.norm(damped) < np.linalg.norm(scores)


def test_the_kernel_rule_is_ridge_regression_with_the_median_distance():
    rng = np.random.default_rng(0)
    embeddings, scores = rng.standard_normal((9, 3)), rng.standard_normal(5)
    chosen = np.array([0, 2, 3, 6, 8])
    known = embeddings[chosen]
    width = np.median(pdist(known))

    def kernel(a, b):
        return np.exp(-cdist(a, b, "sqeuclidean") / (2 * width**2))

    inverse = np.linalg.inv(kernel(known, known) + 0.03 * np.eye(5))
    expected = kernel(embeddings, known) @ inverse @ scores
    computed = pool_scores.kernel_spread(embeddings, chosen, scores, damping=0.03)
    np.testing.assert_allclose(computed, expected, rtol=1e-9)


def test_the_linear_rule_is_ridge_regression():
    rng = np.random.default_rng(0)
    embeddings, scores = rng.standard_normal((9, 7)), rng.standard_normal(5)
    known = embeddings[:5]
    ridge = 0.1 * (known**2).sum(axis=1).mean()
    slope = np.linalg.solve(known.T @ known + ridge * np.eye(7), known.T @ scores)
    computed = pool_scores.linear_spread(embeddings, np.arange(5), scores, damping=0.1)
    np.testing.assert_allclose(computed, embeddings @ slope, rtol=1e-9)


def test_linear_rule_is_exact_where_scores_are_linear_in_the_embeddings():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((50, 4))
    scores = embeddings @ rng.standard_normal(4)
    few = pool_scores.draw_landmarks(50, 6, rng)
    recovered = pool_scores.linear_spread(embeddings, few, scores[few], damping=1e-12)
    np.testing.assert_allclose(recovered, scores, atol=1e-8)


def test_embeddings_are_directional_derivatives_of_features():
    flat, _, (x, _) = softmax_problem()
    theta = flat.theta
    tangents = torch.from_numpy(np.random.default_rng(0).standard_normal((2, len(theta))))
    embedded = pool_scores.tangent_embeddings(flat, theta, (x,), tangents, rows=5)
    # The features are linear in the weights.
    expected = torch.cat([flat(v, x) for v in tangents], dim=1)
    torch.testing.assert_close(embedded, expected)


def test_late_states_weigh_more():
    states = torch.tensor([[[0.0], [0.0], [6.0]]])
    assert networks.position_weighted(
        states, torch.ones(1, 3, dtype=torch.bool)
    ).item() == pytest.approx(3)
    # Padding has no weight: of the first two, the second has two thirds.
    states = torch.tensor([[[0.0], [3.0], [6.0]]])
    told = torch.tensor([[True, True, False]])
    assert networks.position_weighted(states, told).item() == pytest.approx(2)


def test_padding_is_not_counted_in_a_texts_loss():
    torch.manual_seed(0)
    flat = Flat.of(networks.Transformer(11, 6, width=8, heads=2, layers=2).double())
    short = torch.tensor([[1, 4, 7, 1]])
    padded = torch.tensor([[1, 4, 7, 1, 0, 0]])
    losses = networks.language_losses(flat)
    torch.testing.assert_close(losses(flat.theta, padded), losses(flat.theta, short))


def test_first_blocks_are_those_of_the_whole():
    torch.manual_seed(0)
    model = networks.Transformer(11, 6, width=8, heads=2, layers=3)
    tokens = torch.tensor([[1, 4, 7, 3]])
    cut = model.first_blocks(2)
    assert len(cut.blocks) == 2
    x = model.tokens(tokens) + model.places.weight[:4]
    for block in list(model.blocks)[:2]:
        x = block(x)
    expected = torch.nn.functional.layer_norm(x, (8,))
    torch.testing.assert_close(cut(tokens, features=True), expected)
    assert len(model.blocks) == 3


def test_published_costs():
    # Influence, representations, their ratio and that to gradients.
    published = {
        "Llama2-7B": (872, 2800, 3.21, 9.6),
        "Llama3.2-3B": (417, 1200, 2.88, 8.6),
        "Qwen2.5-1.5B": (208, 600, 2.88, 8.6),
        "Qwen2.5-3B": (340, 1200, 3.53, 10.6),
    }
    for model in costs.MODELS:
        operations = costs.costs(model)
        ours, theirs, ratio, over_gradients = published[model.name]
        assert operations["influence"] == pytest.approx(ours, abs=1)
        assert operations["representations"] == pytest.approx(theirs)
        assert costs.speed_up(operations) == pytest.approx(ratio, abs=0.006)
        assert costs.speed_up(operations, "gradients") == pytest.approx(over_gradients, abs=0.06)
    twice = costs.costs(costs.MODELS[0], tangent_passes=2)
    assert costs.speed_up(twice) == pytest.approx(1.78, abs=0.01)
