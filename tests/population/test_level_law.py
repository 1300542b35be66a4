"""Laws with several levels, against dense covariances and SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from study_sections import function, moments

from popinv.forward.section import forward_section
from popinv.observation_files.trees import LevelColumns, MemberTree, tree_of_labels
from popinv.population.constraints import POSITIVE, REAL, Interval
from popinv.population.contract import check_law
from popinv.population.kinds import law_section
from popinv.population.laws.gaussian import GaussianLaw
from popinv.population.laws.levels import LevelLaw

# A group of two specimens: the first has two occasions, the second one.
LEVELS = {"batch": ["a", "b"], "specimen": ["b"], "occasion": ["c", "a"]}
TREE = MemberTree(tuple(LEVELS), ((0, 0, 0), (0, 0, 1), (0, 1, 2)))
NAMES = ("a", "b", "c", "d", "e")
TRANSFORMS = [REAL, POSITIVE, Interval(-1.0, 3.0), POSITIVE, REAL]


def law(tree: MemberTree | None = None, transforms=TRANSFORMS) -> LevelLaw:
    return LevelLaw(
        NAMES,
        transforms,
        LEVELS,
        fixed={"d": 7.0},
        groups=[["a", "b", "c"]],
        covariates=["x", "w"],
        effects=[("a", "w"), ("e", "x")],
        tree=tree,
    )


VALUES = {
    "a_mean": 1.0,
    "b_mean": 0.2,
    "c_mean": -0.5,
    "e_mean": 4.0,
    "a_w_coefficient": 0.7,
    "e_x_coefficient": -0.3,
    "a_batch_standard_deviation": 1.5,
    "b_batch_standard_deviation": 0.4,
    "a_b_batch_correlation": -0.6,
    "b_specimen_standard_deviation": 0.3,
    "a_occasion_standard_deviation": 0.9,
    "c_occasion_standard_deviation": 0.8,
    "a_c_occasion_correlation": 0.35,
}
COVARIATES = np.array([[0.1, -0.2], [0.4, 0.3], [-0.5, 1.0]])


def dense(tree: MemberTree) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the transformed a, b, c of each member, member by member."""
    v = VALUES
    own = {
        "batch": np.diag([v["a_batch_standard_deviation"], v["b_batch_standard_deviation"], 0]),
        "specimen": np.diag([0, v["b_specimen_standard_deviation"], 0]),
        "occasion": np.diag(
            [v["a_occasion_standard_deviation"], 0, v["c_occasion_standard_deviation"]]
        ),
    }
    correlation = {name: np.eye(3) for name in own}
    for name, (i, j) in {"a_b_batch": (0, 1), "a_c_occasion": (0, 2)}.items():
        matrix = correlation[name.split("_")[2]]
        matrix[i, j] = matrix[j, i] = v[f"{name}_correlation"]
    members = tree.members
    covariance = np.zeros((3 * members, 3 * members))
    for level, nodes in zip(tree.levels, tree.nodes, strict=True):
        block = own[level] @ correlation[level] @ own[level]
        for m, k in itertools.product(range(members), repeat=2):
            if nodes[m] == nodes[k]:
                covariance[3 * m : 3 * m + 3, 3 * k : 3 * k + 3] += block
    means = [
        [v["a_mean"] + v["a_w_coefficient"] * w, v["b_mean"], v["c_mean"]] for _, w in COVARIATES
    ]
    return np.concatenate(means[:members]), covariance


def test_names_follow_the_levels():
    assert law().names == tuple(VALUES)
    assert law(TREE).names == law().names
    assert law(TREE).d_omega == 2 + 2 * 1 + 3 * 2
    assert law(TREE).d_z == 15


def test_draws_have_the_dense_moments():
    # Without transforms z is affine in omega, so that its columns give the covariance exactly.
    plain = law(TREE, [REAL] * 5)
    alpha = torch.from_numpy(plain.from_natural(VALUES))
    omega = torch.cat([torch.zeros(1, plain.d_omega), torch.eye(plain.d_omega)]).double()
    covariates = torch.from_numpy(COVARIATES.reshape(1, -1)).expand(len(omega), -1)
    z = plain.sample(alpha, omega, covariates).numpy().reshape(len(omega), 3, 5)
    columns = (z[1:] - z[0])[..., :3].reshape(plain.d_omega, -1)
    mean, covariance = dense(TREE)
    np.testing.assert_allclose(z[0, :, :3].ravel(), mean, atol=1e-13)
    np.testing.assert_allclose(columns.T @ columns, covariance, atol=1e-13)
    np.testing.assert_allclose(z[:, :, 3], 7.0)
    np.testing.assert_allclose(z[0, :, 4], 4.0 - 0.3 * COVARIATES[:, 0])
    np.testing.assert_allclose(z[1:, :, 4] - z[0, :, 4], 0.0)


def test_the_transforms_and_held_values_are_those_of_one_level():
    of_one = law(MemberTree.of_one(tuple(LEVELS)))
    single = GaussianLaw(NAMES, TRANSFORMS, common=("e",), fixed={"d": 7.0})
    omega = torch.zeros((1, of_one.d_omega), dtype=torch.float64)
    z = of_one.sample(
        torch.from_numpy(of_one.from_natural(VALUES)), omega, torch.zeros((1, 2)).double()
    )
    means = [VALUES[f"{name}_mean"] for name in "abce"]
    alpha = single.from_natural([*means, 1.0, 1.0, 1.0])
    other = single.sample(torch.from_numpy(alpha), torch.zeros((1, 3)).double())
    np.testing.assert_allclose(z, other, rtol=1e-14)


@pytest.mark.parametrize("rows", [False, True])
def test_density_is_that_of_the_distinct_values(rows):
    group = law(TREE)
    alpha = torch.from_numpy(group.from_natural(VALUES))
    omega = torch.from_numpy(np.random.default_rng(1).standard_normal((4, group.d_omega)))
    covariates = torch.from_numpy(COVARIATES.reshape(1, -1)).expand(4, -1)
    z = group.sample(alpha, omega, covariates)
    given = alpha.expand(4, -1) if rows else alpha
    found = group.log_density(given, z, covariates).numpy()
    # a and c differ between all members, and b between the two specimens.
    kept = np.array([0, 3, 6, 1, 7, 2, 5, 8])
    mean, covariance = dense(TREE)
    each = z.numpy().reshape(4, 3, 5)
    share = (each[..., 2] + 1.0) / 4.0
    x = np.stack([each[..., 0], np.log(each[..., 1]), np.log(share / (1 - share))], axis=-1)
    slope_c = 4.0 * share * (1 - share)
    x, distinct_b = x.reshape(4, -1), each[:, [0, 2], 1]
    expected = multivariate_normal.logpdf(x[:, kept], mean[kept], covariance[np.ix_(kept, kept)])
    expected -= np.log(distinct_b).sum(axis=1) + np.log(slope_c).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_one_member_has_the_sum_of_the_variances():
    plain = law(transforms=[REAL] * 5)
    alpha = torch.from_numpy(plain.from_natural(VALUES))
    z = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 5)))
    found = plain.log_density(alpha, z, torch.from_numpy(COVARIATES)).numpy()
    covariance = dense(MemberTree.of_one(tuple(LEVELS)))[1]
    means = dense(TREE)[0].reshape(3, 3)
    expected = [
        multivariate_normal.logpdf(row[:3], mean, covariance)
        for row, mean in zip(z.numpy(), means, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_natural_values_come_back():
    group = law(TREE)
    alpha = group.from_natural(VALUES)
    np.testing.assert_allclose(group.to_natural(alpha), list(VALUES.values()), rtol=1e-12)
    both = group.to_natural(np.stack([alpha, alpha]))
    np.testing.assert_allclose(both[1], list(VALUES.values()), rtol=1e-12)
    with pytest.raises(ValueError, match="must lie between -1 and 1"):
        group.from_natural({**VALUES, "a_b_batch_correlation": 1.2})


def test_each_row_may_have_its_own_alpha():
    group = law(TREE)
    one = torch.from_numpy(group.from_natural(VALUES))
    alphas = torch.stack([one, one + 0.1])
    omega = torch.from_numpy(np.random.default_rng(3).standard_normal((2, group.d_omega)))
    covariates = torch.from_numpy(np.stack([COVARIATES.ravel(), -COVARIATES.ravel()]))
    both = group.sample(alphas, omega, covariates)
    for i in range(2):
        alone = group.sample(alphas[i], omega[i : i + 1], covariates[i : i + 1])
        np.testing.assert_allclose(both[i], alone[0], rtol=1e-13)
    densities = group.log_density(alphas, both, covariates)
    for i in range(2):
        alone = group.log_density(alphas[i], both[i : i + 1], covariates[i : i + 1])
        np.testing.assert_allclose(densities[i], alone[0], rtol=1e-11)


def test_members_with_equal_labels_have_equal_places():
    labels = np.array(
        [["u", "L"], ["u", "R"], ["v", "R"], ["v", "L"], ["w", "R"]]  # w has no L
    )
    tree, group, place = tree_of_labels(labels, LevelColumns(("dog", "side")))
    assert tree == MemberTree(("dog", "side"), ((0, 0), (0, 1)))
    assert group.tolist() == [0, 0, 1, 1, 2]
    # The only side of w is its first.
    assert place.tolist() == [0, 1, 1, 0, 0]


def test_the_tree_holds_the_widest_nodes_of_all_groups():
    labels = [("u", "1", str(k)) for k in range(3)] + [("u", "2", "0")]
    labels += [("v", "1", "0"), ("v", "2", "0"), ("v", "2", "1"), ("v", "3", "0")]
    tree, group, place = tree_of_labels(np.array(labels), LevelColumns(tuple("lmn")))
    # Sorted by their size, the nodes have up to 3, 1 and 1 members.
    assert tree.members == 5
    assert tree.nodes[1] == (0, 0, 0, 1, 2)
    assert sorted(place[group == 1].tolist()) == [0, 1, 3, 4]
    # Node 2 of v is its largest.
    assert place[[5, 6]].tolist() == [0, 1]


START = moments(amplitude=(0.0, 2.0), rate=(0.0, 1.0))
FORWARD = function("simulator.py:solve", "amplitude", "rate", observations={"count": 3})


def section(**given):
    return law_section({"kind": "normal", "start": START, **given})


def test_a_section_keeps_the_order_of_its_levels():
    levels = {"zone": ["amplitude", "rate"], "area": ["amplitude"]}
    first = section(levels=levels)
    dumped = first.model_dump(mode="json")
    assert dumped["levels"] == [{"zone": ["amplitude", "rate"]}, {"area": ["amplitude"]}]
    again = law_section({key: dumped[key] for key in sorted(dumped)})
    assert again.level_names() == ("zone", "area")
    assert first == again


def test_levels_start_with_equal_parts_of_the_variance():
    levels = {"zone": ["amplitude", "rate"], "area": ["amplitude"]}
    own = section(levels=levels)
    values = own.values(own.start)
    assert values["amplitude_zone_standard_deviation"] == pytest.approx(2 / np.sqrt(2))
    assert values["amplitude_area_standard_deviation"] == pytest.approx(2 / np.sqrt(2))
    assert values["rate_zone_standard_deviation"] == 1.0
    stated = {**START, "amplitude_area_standard_deviation": 0.3}
    given = section(levels=levels, start=stated)
    assert given.values(given.start)["amplitude_area_standard_deviation"] == 0.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"levels": {"zone": ["amplitude"]}}, "no level names 'rate', which varies"),
        ({"levels": {"zone": ["amplitude", "rates"]}}, "'rates' does not vary"),
        (
            {"levels": {"zone": ["amplitude", "rate"]}, "scale_covariates": {"rate": ["x"]}},
            "does not say which one the covariate scales",
        ),
    ],
)
def test_a_section_says_what_is_wrong_with_its_levels(given, message):
    problems = list(section(**given).problems(forward_section(FORWARD)))
    assert any(message in problem.text for problem in problems)


def test_the_law_keeps_the_contract_of_laws():
    own = section(levels={"zone": ["amplitude", "rate"], "area": ["amplitude"]})
    check_law(own, forward_section(FORWARD))


def test_the_tangents_are_the_derivatives_of_the_draws():
    group = law(TREE)
    alpha = torch.from_numpy(group.from_natural(VALUES))
    omega = torch.from_numpy(np.random.default_rng(5).standard_normal((4, group.d_omega)))
    covariates = torch.from_numpy(COVARIATES.reshape(1, -1)).expand(4, -1)
    found = group.tangents(alpha, omega, covariates)
    for k in range(group.d_omega):
        step = 1e-6 * torch.eye(group.d_omega, dtype=torch.float64)[k]
        ends = [group.sample(alpha, omega + sign * step, covariates) for sign in (1, -1)]
        np.testing.assert_allclose(found[k], (ends[0] - ends[1]) / 2e-6, atol=1e-7)
