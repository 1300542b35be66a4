"""Factors, the server's rules, training and divisions, against closed forms and each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from popinv.errors import ConfigError
from popinv_papers.fedhl import clients, lora, server
from popinv_papers.fedhl.clients import (
    Local,
    Pruning,
    leading,
    penalty_gradients,
    pruned_ranks,
    sample_clients,
    tail_norms,
    train,
)
from popinv_papers.fedhl.federation import Federation, begin, run, step
from popinv_papers.fedhl.regression import RANKS, regression
from popinv_papers.fedhl.server import METHODS, Weighting

SHAPES = {"w": (40, 30)}


def federation(method: str = "fedhl", **changes) -> Federation:
    """Return the mildly heterogeneous regression, a few short rounds."""
    given = {
        "ranks": RANKS, "sizes": np.ones(len(RANKS)), "local": Local(3, 0.05),
        "gradient": regression(0.034, 1).gradient, "dtype": torch.float64, "seed": 1,
    }  # fmt: skip
    return Federation(method, SHAPES, **{**given, **changes})


def after(rounds: int, asked: Federation):
    state = begin(asked)
    for _ in range(rounds):
        state, info = step(state, asked)
    return state, info


def matrix(rank: int, shape=(7, 5), seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    )


def sent(w: torch.Tensor, ranks: list[int]) -> lora.LowRankFactors:
    rngs = [np.random.default_rng(i) for i in ranks]
    empty = lora.fresh(tuple(w.shape), ranks, rngs, w.dtype)
    return lora.truncated(*torch.linalg.svd(w, full_matrices=False), empty, ranks)


# --- factors -------------------------------------------------------------------------------------


def test_what_is_sent_is_the_best_approximation_of_the_rank():
    w = matrix(5)
    approximation = sent(w, [1, 3, 5]).product()
    u, s, vh = np.linalg.svd(w.numpy())
    for product, rank in zip(approximation.numpy(), (1, 3, 5), strict=True):
        np.testing.assert_allclose(product, (u[:, :rank] * s[:rank]) @ vh[:rank], atol=1e-12)


def test_slots_without_a_singular_value_can_train_and_add_nothing():
    w = matrix(2)
    factors = sent(w, [4, 1])
    np.testing.assert_allclose(factors.product()[0], w, atol=1e-12)
    assert (factors.b[0, :, 2:] == 0).all()
    assert (factors.a[0, 2:].norm(dim=1) > 0).all()
    # Beyond the rank both are zero, so that nothing trains there.
    assert (factors.a[1, 1:] == 0).all()
    assert (factors.b[1, :, 1:] == 0).all()


def test_gradients_of_factors_are_those_of_automatic_differentiation():
    factors = sent(matrix(3), [2, 3])
    target = matrix(5, seed=1)
    b, a = (t.clone().requires_grad_(True) for t in (factors.b, factors.a))
    (0.5 * (b @ a - target) ** 2).sum().backward()
    gradients = lora.factor_gradients({"w": factors}, {"w": factors.product() - target})["w"]
    torch.testing.assert_close(gradients.b, b.grad)
    torch.testing.assert_close(gradients.a, a.grad)


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)
    ).double()


def test_any_module_is_adapted_as_if_its_weights_were_changed():
    net, changed = module(), module()
    shapes = lora.shapes_of(net)
    assert shapes == {"0.weight": (3, 6), "3.weight": (4, 12)}
    increments = {name: matrix(2, shape) for name, shape in shapes.items()}
    x = torch.randn(5, 2, 4, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if name in increments:
                parameter += increments[name].view_as(parameter)
    before = net(x)
    torch.testing.assert_close(lora.apply(net, increments, x), changed(x))
    assert torch.equal(net(x), before)


def test_gradients_of_all_clients_at_once_are_those_of_each():
    loss = lora.ModuleLoss(module(), lambda out, target: ((out - target) ** 2).mean())
    stacked = {
        name: torch.stack([matrix(2, shape, seed) for seed in (1, 2)])
        for name, shape in lora.shapes_of(loss.module).items()
    }
    x = torch.randn(2, 5, 2, 4, dtype=torch.float64)
    target = torch.randn(2, 5, 4, dtype=torch.float64)
    together = loss.gradients(stacked, x, target)
    for i in range(2):
        own = {name: w[i].clone().requires_grad_(True) for name, w in stacked.items()}
        loss.value(own, x[i], target[i]).backward()
        for name, w in own.items():
            torch.testing.assert_close(together[name][i], w.grad)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_padding_to_the_largest_rank_changes_nothing(optimiser):
    problem, local = regression(0.1, 1), Local(4, 0.03, optimiser)
    w = matrix(12, (40, 30)) / 10
    together = train({"w": sent(w, [2, 12])}, None, problem.gradient, np.array([0, 9]), 0, local)
    alone = train({"w": sent(w, [2])}, None, problem.gradient, np.array([0]), 0, local)
    assert together["w"].b.shape[2] == 12
    torch.testing.assert_close(together["w"].product()[0], alone["w"].product()[0])


# --- the server ----------------------------------------------------------------------------------


def test_truncation_errors_are_the_dense_norms_summed_over_layers():
    increments = {"one": matrix(5), "two": matrix(3, (4, 6), 1)}
    ranks = [1, 2, 4, 9]
    computed = server.squared_truncation_errors(server.decompose(increments), ranks)
    expected = sum(
        ((w - sent(w, ranks).product()) ** 2).sum(dim=(1, 2)) for w in increments.values()
    )
    np.testing.assert_allclose(computed, expected, rtol=1e-10, atol=1e-20)
    assert computed[3] < 1e-20


@pytest.mark.parametrize("power", [1, 2])
def test_weights_are_those_of_the_formula(power):
    errors = np.array([0.0, 1.0, 3.0])
    computed = server.aggregation_weights(errors, Weighting(power, 0.5))
    raw = 1 / (errors**power + 0.5)
    np.testing.assert_allclose(computed, raw / raw.sum())
    relative = server.aggregation_weights(errors, Weighting(power, 0.5, relative=True))
    raw = 1 / (errors**power + 0.5 * np.mean(errors**power))
    np.testing.assert_allclose(relative, raw / raw.sum())


def test_weights_minimise_the_bound_on_the_drift():
    # sum p_i^2 c_i under sum p_i = 1, with c_i the squared errors: power 1.
    errors = np.array([0.5, 1.0, 4.0])
    best = server.aggregation_weights(errors, Weighting(1, 1e-12))
    assert (best**2 * errors).sum() == pytest.approx(1 / (1 / errors).sum())


def test_weights_in_the_limits():
    errors = np.array([0.0, 1.0, 3.0])
    equal = np.full(3, 1 / 3)
    np.testing.assert_allclose(server.aggregation_weights(errors, Weighting(2, 1e12)), equal)
    np.testing.assert_allclose(server.aggregation_weights(errors, Weighting(0)), equal)
    for relative in (False, True):
        weighting = Weighting(2, 1e-6, relative)
        np.testing.assert_allclose(server.aggregation_weights(np.zeros(3), weighting), equal)
    # A client that loses nothing decides alone once epsilon is small: the weights collapse.
    collapsed = server.aggregation_weights(errors, Weighting())
    assert collapsed[0] > 0.999
    assert server.entropy(collapsed) < 0.01
    assert server.entropy(equal) == pytest.approx(1)
    tiny = server.aggregation_weights(np.array([1e-200, 1.0]), Weighting(2, 1e-300))
    assert np.isfinite(tiny).all()


@pytest.mark.parametrize("method", METHODS)
def test_weights_of_every_method_sum_to_one(method):
    _, info = after(3, federation(method, sizes=np.arange(1.0, 11.0)))
    assert info["weights"].sum() == pytest.approx(1)
    assert (info["weights"] > 0).all()


@pytest.mark.parametrize("method", ["fedhl", "flora"])
def test_no_local_step_changes_nothing(method):
    asked = federation(method)
    state, _ = after(3, asked)
    still, _ = step(state, replace(asked, local=Local(0, 0.05)))
    assert torch.equal(still.increments["w"], state.increments["w"])


def test_no_local_step_truncates_in_flexlora():
    asked = federation("flexlora")
    state, info = after(3, asked)
    assert info["truncation"] > 0
    still, _ = step(state, replace(asked, local=Local(0, 0.05)))
    mean = sent(state.increments["w"], RANKS.tolist()).product().mean(dim=0)
    torch.testing.assert_close(still.increments["w"], mean)
    assert (still.increments["w"] - state.increments["w"]).norm() > 0.01


def test_full_rank_everywhere_is_flexlora_with_equal_weights():
    full = np.full(len(RANKS), 30)
    ours, _ = after(4, federation("fedhl", ranks=full))
    flex, _ = after(4, federation("flexlora", ranks=full))
    assert ours.increments["w"].norm() > 0.1
    torch.testing.assert_close(ours.increments["w"], flex.increments["w"], rtol=1e-9, atol=1e-12)


def test_the_residual_is_kept_by_fedhl():
    # Equivalent form: sum p_i (B_i' A_i' + E_i).
    w, ranks = matrix(5), [1, 2]
    weights = np.array([0.3, 0.7])
    before = {"w": w}
    approximation = {"w": sent(w, ranks).product()}
    after_training = {"w": approximation["w"] + matrix(1, seed=3)}
    kept = server.residuals(before, approximation)
    increments = server.weighted_changes(before, approximation, after_training, weights)
    expected = torch.einsum("k,kmn->mn", torch.from_numpy(weights), after_training["w"] + kept["w"])
    torch.testing.assert_close(increments["w"], expected)


def test_flora_adds_exactly_what_clients_learnt():
    asked = federation("flora", ranks=np.full(10, 2))
    problem = regression(0.034, 1)
    state, _ = after(1, asked)
    still, _ = step(state, asked)
    stage = [f"{asked.stage}/fresh/{client}" for client in range(10)]
    from popinv.seeds import generator

    rngs = [generator(asked.seed, name, 1) for name in stage]
    start = {"w": lora.fresh((40, 30), [2] * 10, rngs, torch.float64)}
    trained = train(start, state.increments, problem.gradient, np.arange(10), 1, asked.local)
    # The stack of the factors has the mean of the products as its product.
    f = trained["w"]
    stacked_b = torch.cat(list(f.b / 10), dim=1)
    stacked_a = torch.cat(list(f.a), dim=0)
    torch.testing.assert_close(still.increments["w"] - state.increments["w"], stacked_b @ stacked_a)


def test_hetlora_weighs_clients_by_norm_and_sends_slices():
    trained = {
        "w": lora.LowRankFactors(torch.ones(2, 3, 1), torch.tensor([[[1.0, 0]], [[0, 3.0]]]))
    }
    np.testing.assert_allclose(server.norm_weights(trained), [0.25, 0.75])
    zero = {"w": lora.LowRankFactors(torch.zeros(2, 3, 1), torch.ones(2, 1, 2))}
    np.testing.assert_allclose(server.norm_weights(zero), [0.5, 0.5])
    state, info = after(3, federation("hetlora"))
    assert 0 < info["truncation"] < 1
    # The mean of the factors is W, which keeps their rank.
    assert state.factors is not None
    assert state.factors["w"].b.shape == (1, 40, 12)
    torch.testing.assert_close(state.increments["w"], lora.products(state.factors)["w"][0])


def test_a_residual_at_the_client_is_part_of_its_base():
    # Nobody is blind to the residual, so that all clients' first gradients are those of W itself.
    seen = []
    problem = regression(0.0, 1)

    def gradient(dense, clients, number, local_step):
        seen.append(dense["w"])
        return problem.gradient(dense, clients, number, local_step)

    asked = federation(gradient=gradient, local=Local(1, 0.05), residual_at_client=True)
    state, _ = after(2, asked)
    step(state, asked)
    for w in seen[-1]:
        torch.testing.assert_close(w, state.increments["w"])


def test_bytes_count_factors_both_ways():
    shapes = {"one": (40, 30), "head": (3, 30)}
    ranks, number = [2, 5], 4
    both = 2 * ((2 + 5) * 70 + (2 + 3) * 33) * number
    assert server.round_bytes("fedhl", shapes, ranks, 10, number) == both
    assert server.round_bytes("flexlora", shapes, ranks, 10, number) == both
    # Up once; down to all ten clients of the federation.
    assert server.round_bytes("flora", shapes, ranks, 10, number) == both / 2 * 11
    dense = both / 2 + 2 * (40 * 30 + 3 * 30) * number
    assert server.round_bytes("fedhl", shapes, ranks, 10, number, dense_download=True) == dense


# --- pruning and scales ----------------------------------------------------------------------


def drawn(count: int, m: int, r: int, n: int, seed: int = 0) -> lora.LowRankFactors:
    rng = np.random.default_rng(seed)
    b, a = rng.standard_normal((count, m, r)), rng.standard_normal((count, r, n))
    return lora.LowRankFactors(torch.from_numpy(b), torch.from_numpy(a))


def test_the_penalty_is_the_product_of_the_norms_of_the_last_columns_and_rows():
    ranks, pruning = np.array([4, 2]), Pruning(decay=0.5, strength=0.3)
    adapters = {"w": leading(drawn(2, 5, 4, 3), ranks), "v": leading(drawn(2, 6, 4, 4, 1), ranks)}
    by_hand = [
        sum(
            torch.linalg.norm(f.b[i, :, kept:]) * torch.linalg.norm(f.a[i, kept:])
            for f in adapters.values()
        )
        for i, kept in enumerate((2, 1))
    ]
    np.testing.assert_allclose(tail_norms(adapters, ranks, pruning), by_hand)
    b = adapters["w"].b.clone().requires_grad_(True)
    a = adapters["w"].a.clone().requires_grad_(True)
    loss = sum(
        torch.linalg.norm(b[i, :, k:]) * torch.linalg.norm(a[i, k:r])
        for i, (k, r) in enumerate(((2, 4), (1, 2)))
    )
    (0.3 * loss).backward()
    found = penalty_gradients(adapters, ranks, pruning)["w"]
    torch.testing.assert_close(found.b, b.grad)
    torch.testing.assert_close(found.a, a.grad)
    # Fresh factors have B = 0, and no direction.
    zero = {"w": lora.LowRankFactors(torch.zeros(2, 5, 4), torch.zeros(2, 4, 3))}
    assert (penalty_gradients(zero, ranks, pruning)["w"].b == 0).all()


def test_a_client_prunes_when_its_last_directions_shrink_and_keeps_the_leading_ones():
    ranks, pruning = np.array([4, 4, 1]), Pruning(decay=0.75, strength=0.1)
    before = {"w": leading(drawn(3, 5, 4, 3), ranks)}
    after = {"w": lora.LowRankFactors(before["w"].b.clone(), before["w"].a)}
    after["w"].b[0, :, 3] *= 0.9
    after["w"].b[1, :, 3] *= 1.1
    after["w"].b[2] *= 0.9
    lowered = pruned_ranks(before, after, ranks, pruning)
    # Nobody's rank falls below 1.
    assert lowered.tolist() == [3, 4, 1]
    kept = leading(after["w"], lowered)
    assert torch.equal(kept.b[0, :, :3], after["w"].b[0, :, :3])
    assert torch.equal(kept.a[0, :3], after["w"].a[0, :3])
    assert (kept.product()[0] - after["w"].product()[0]).norm() > 0
    assert torch.equal(kept.product()[1], after["w"].product()[1])


def test_ranks_of_hetlora_fall_for_good_and_bytes_with_them():
    # The strength is so large that the last directions shrink in every round.
    pruning = Pruning(decay=0.7, strength=5.0)
    state, _ = after(4, federation("hetlora", pruning=pruning))
    assert (state.ranks <= RANKS).all()
    assert (state.ranks < RANKS).any()
    later, info = step(state, federation("hetlora", pruning=pruning))
    assert (later.ranks <= state.ranks).all()
    whole, unpruned = after(5, federation("hetlora"))
    assert info["bytes"] < unpruned["bytes"]
    assert whole.ranks.tolist() == RANKS.tolist()
    with pytest.raises(ConfigError, match="pruning is for hetlora, not for 'flora'"):
        federation("flora", pruning=pruning)
    with pytest.raises(ConfigError, match="decay is 1"):
        Pruning(decay=1.0)
    with pytest.raises(ConfigError, match="strength is -1"):
        Pruning(strength=-1.0)


# --- the regression ------------------------------------------------------------------------------


def test_the_optimum_of_the_regression_is_the_least_loss():
    problem = regression(0.1, 2)
    right = (problem.targets @ problem.moments).sum(dim=0)
    w = torch.linalg.solve(problem.moments.sum(dim=0), right, left=False)
    assert problem.loss(w) == pytest.approx(problem.optimum())
    assert problem.loss(w + 0.01 * matrix(1, (40, 30))) > problem.optimum()
    assert regression(0.0, 2).optimum() == pytest.approx(0, abs=1e-12)


def test_gradients_of_the_regression_are_those_of_its_loss():
    problem = regression(0.1, 2)
    w, direction = matrix(5, (40, 30), 1) / 10, matrix(5, (40, 30), 2)
    # The loss is quadratic, so that the central difference is exact.
    slope = (problem.loss(w + direction) - problem.loss(w - direction)) / 2
    each = problem.gradient({"w": w.expand(10, 40, 30)}, np.arange(10), 0, 0)["w"]
    gradient = each.mean(dim=0)
    assert float((gradient * direction).sum()) == pytest.approx(slope)
    assert problem.square({"w": w})["square"] == pytest.approx(float((gradient**2).sum()))


def test_noise_of_the_gradients_has_its_deviation_and_is_a_clients_own():
    exact, noisy = regression(0.1, 2), regression(0.1, 2, noise=0.3)
    w = {"w": torch.zeros(10, 40, 30, dtype=torch.float64)}
    noise = (
        noisy.gradient(w, np.arange(10), 3, 1)["w"] - exact.gradient(w, np.arange(10), 3, 1)["w"]
    )
    assert float(noise.std()) == pytest.approx(0.3, rel=0.03)
    one = {"w": w["w"][:1]}
    own = (
        noisy.gradient(one, np.array([4]), 3, 1)["w"]
        - exact.gradient(one, np.array([4]), 3, 1)["w"]
    )
    torch.testing.assert_close(own[0], noise[4])
    later = noisy.gradient(w, np.arange(10), 4, 1)["w"]
    assert not torch.allclose(later, noisy.gradient(w, np.arange(10), 3, 1)["w"])


def test_the_drift_is_the_difference_of_the_first_gradients():
    problem, w = regression(0.1, 2), matrix(14, (40, 30), 3) / 10
    weights = np.arange(1.0, 11) / 55
    ranks = RANKS.tolist()
    short = {"w": sent(w, ranks).product()}
    full = {"w": w.expand(10, 40, 30)}
    off = problem.gradient(full, np.arange(10), 0, 0)["w"]
    off = off - problem.gradient(short, np.arange(10), 0, 0)["w"]
    total = (torch.from_numpy(weights)[:, None, None] * off).sum(dim=0)
    assert problem.drift(w, weights) == pytest.approx(float(torch.linalg.norm(total)))


def test_the_full_rank_base_learns_what_flexlora_loses():
    problem = regression(0.0, 1)
    asked = federation(gradient=problem.gradient, local=Local(10, 0.05))
    losses = {}
    for method in ("fedhl", "flexlora"):
        _, record = run(replace(asked, method=method), 15, lambda w: {"loss": problem.loss(w["w"])})
        losses[method] = record["loss"][-1]
        assert len(record["loss"]) == 16
        assert len(record["bytes"]) == 15
    assert losses["fedhl"] < 0.1 * losses["flexlora"]


# --- clients and divisions -----------------------------------------------------------------------


def test_clients_are_sampled_without_repetition_and_take_part_by_seed():
    chosen = sample_clients(100, 0.1, np.random.default_rng(0))
    assert len(set(chosen)) == 10
    assert sample_clients(3, 0.01, np.random.default_rng(0)).shape == (1,)
    asked = federation(share=0.4)
    _, first = after(1, asked)
    _, second = after(2, asked)
    assert len(first["taking_part"]) == 4
    assert not np.array_equal(first["taking_part"], second["taking_part"])
    assert torch.equal(after(2, asked)[0].increments["w"], after(2, asked)[0].increments["w"])


@pytest.mark.parametrize("concentration", [1e-9, 0.1, 1.0, np.inf])
def test_divisions_hold_every_row_once(concentration):
    labels = np.repeat(np.arange(5), 40)
    parts = clients.dirichlet(labels, 20, concentration, np.random.default_rng(0))
    assert len(parts) == 20
    assert min(map(len, parts)) >= 1
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(200))


def test_a_small_concentration_gives_clients_few_classes():
    labels = np.repeat(np.arange(10), 200)

    def classes(concentration: float) -> float:
        parts = clients.dirichlet(labels, 10, concentration, np.random.default_rng(1))
        shares = [np.bincount(labels[p], minlength=10) / len(p) for p in parts]
        return float(np.mean([(s > 0.05).sum() for s in shares]))

    assert classes(0.1) < classes(1.0) < classes(np.inf) == 10


def test_sites_are_kept_together():
    parts = clients.site_wise(np.array([2, 0, 2, 5, 0]))
    assert [p.tolist() for p in parts] == [[1, 4], [0, 2], [3]]


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match=r"'fedlh', allowed: fedhl.*'fedhl'\?"):
        federation("fedlh")
    with pytest.raises(ConfigError, match="9 ranks"):
        federation(ranks=RANKS[1:])
    with pytest.raises(ConfigError, match="not for 'flora'"):
        federation("flora", residual_at_client=True)
    with pytest.raises(ConfigError, match="power is 3"):
        Weighting(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="epsilon is 0"):
        Weighting(2, 0.0)
    with pytest.raises(ConfigError, match="share of clients is 0"):
        sample_clients(5, 0.0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="concentration is 0"):
        clients.dirichlet(np.zeros(5), 2, 0.0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="6 clients"):
        clients.homogeneous(5, 6, np.random.default_rng(0))
