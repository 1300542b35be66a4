"""Guarantees and their costs: tables, closed forms, inequalities."""

from __future__ import annotations

import math

import pytest
from certified_constants import DELTA, N, mnist, small
from scipy.optimize import minimize_scalar

from popinv.errors import ConfigError
from popinv.methods import privacy
from popinv.methods.certificate.accountant import FORMS, Setting

# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "gap"),
    [(32, ".239222"), (64, ".119662"), (128, ".0610688"), (256, ".0349263"), (512, ".0240861"),
     (N, ".0157632")],
)  # fmt: skip
def test_gap_of_one_record(batch, gap):
    assert mnist(batch).gap() == pytest.approx(
        float(gap), rel=10 ** -(len(gap.lstrip(".0")) - 1) / 2
    )


def test_epsilon_of_threes_against_eights():
    setting = mnist(128)
    gap = setting.gap()
    a = setting.coefficient(gap, 0.03, 1)
    assert round(privacy.epsilon(a, DELTA), 5) == 0.09321
    assert round(setting.epsilon(DELTA, gap, 0.03, 1, "exact"), 5) == 0.02703
    setting = mnist(512)
    gap = setting.gap()
    assert round(setting.epsilon(DELTA, gap, 0.03, 1), 5) == 0.68440
    assert round(setting.epsilon(DELTA, gap, 0.03, 1, "exact"), 5) == 0.21223
    setting = mnist(N)
    gap = setting.gap()
    assert round(setting.epsilon(DELTA, gap, 0.03, 1), 5) == 1.14313
    assert round(setting.epsilon(DELTA, gap, 0.03, 4), 5) == 0.99798
    assert round(setting.epsilon(DELTA, gap, 0.03, 4, "exact"), 5) == 0.52549


def test_noise_for_one_epoch_after_convergence():
    setting = mnist(N)
    sigmas = [setting.sigma_for(e, DELTA, setting.gap(), 1) for e in (0.05, 0.1, 0.5, 1, 2, 5)]
    assert [float(f"{s:.3g}") for s in sigmas] == [0.667, 0.334, 0.0675, 0.0342, 0.0175, 0.00746]


def test_retraining_in_the_same_currency():
    setting = mnist(N)
    assert setting.epochs_for(1.0, DELTA, setting.widest, 0.03) == 219
    assert setting.epochs_for(0.01, DELTA, setting.widest, 0.03) == 323
    assert mnist(128).epochs_for(1.0, DELTA, 200.0, 0.03) == 3


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [1e-6, 1e-3, 0.05, 2.0])
@pytest.mark.parametrize("delta", [0.1, 1e-5])
def test_the_closed_form_is_the_minimum(a, delta):
    least = minimize_scalar(
        lambda x: a * (1 + math.exp(x)) + math.log(1 / delta) / math.exp(x),
        bounds=(-10, 20), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    assert privacy.coefficient(least.fun, delta) == pytest.approx(a, rel=1e-6)
    assert privacy.coefficient(privacy.epsilon(a, delta), delta) == pytest.approx(a)


@pytest.mark.parametrize(
    ("form", "strong"),
    [
        ("paper", 0.0),
        ("paper", 0.1),
        ("exact", 1e-9),
        ("exact", 0.3),
        ("tight", 0.0),
        ("tight", 0.3),
    ],
)
@pytest.mark.parametrize("batch", [1, 4, 12])
def test_epochs_and_noise_invert_the_guarantee(form, strong, batch):
    setting = small(batch, strong=strong)
    for gap in (0.01, 0.3, 7.0):
        for epsilon in (1e-3, 0.4, 20.0):
            sigma = setting.sigma_for(epsilon, 1e-3, gap, 7, form)
            assert setting.epsilon(1e-3, gap, sigma, 7, form) == pytest.approx(epsilon)
            # By counting up from 1; a little more or less noise, since 7 is the limit itself.
            for slightly, expected in ((1 + 1e-9, 7), (1 - 1e-9, 8)):
                counted = next(
                    k
                    for k in range(1, 20)
                    if setting.epsilon(1e-3, gap, slightly * sigma, k, form) <= epsilon
                )
                epochs = setting.epochs_for(epsilon, 1e-3, gap, slightly * sigma, form)
                assert epochs == counted == expected


def test_normal_laws_leave_nothing_to_gain():
    # Two points a gap apart under w <- c w + N(0, 2 eta sigma^2): normal laws of equal variance.
    setting, sigma, gap = small(), 0.7, 0.4
    c = setting.contraction
    for epochs in (1, 2, 9):
        mean, variance = gap, 0.0
        for _ in range(epochs * setting.batches):
            mean, variance = c * mean, c**2 * variance + 2 * setting.rate * sigma**2
        divergence_of_order_one = mean**2 / (2 * variance)
        coefficients = [setting.coefficient(gap, sigma, epochs, form) for form in FORMS]
        assert coefficients[2] == pytest.approx(divergence_of_order_one)
        assert coefficients[1] == pytest.approx(2 * divergence_of_order_one)
        assert coefficients[0] >= coefficients[1] * (1 - 1e-12)


def test_forms_agree_where_they_should():
    one = small(12)
    assert one.decay(1, "exact") == pytest.approx(one.decay(1, "paper"))
    for convex in (small(strong=0.0), small(strong=1e-12)):
        assert convex.decay(5, "exact") == pytest.approx(1 / 15)
    assert small(strong=0.0).decay(5, "paper") == 1 / 15


def test_convex_example_of_the_paper():
    # 2 R = 10, b = 128, eta = M = 1: the gap is the diameter from T = 640 on.
    setting = Setting(1280, 128, 1.0, 0.0, 1.0, 1.0, radius=5.0)
    assert setting.gap(epochs=639) == pytest.approx(2 * 639 / 128)
    assert setting.gap(epochs=640) == setting.gap(epochs=10_000) == setting.gap() == 10.0
    assert setting.coefficient(10.0, 0.5, 3) == pytest.approx(100 / (2 * 0.25) / 30)


def test_epsilon_falls_with_epochs_and_noise():
    setting = small()
    gap = setting.gap()
    for form in FORMS:
        by_epochs = [setting.epsilon(1e-3, gap, 0.1, k, form) for k in range(1, 9)]
        by_noise = [setting.epsilon(1e-3, gap, s, 2, form) for s in (0.1, 0.2, 0.4)]
        assert by_epochs == sorted(by_epochs, reverse=True)
        assert by_noise == sorted(by_noise, reverse=True)


# --- gaps -----------------------------------------------------------------------------------------


def recursion(setting: Setting, counts, epochs: int) -> float:
    """Follow the gap iteration by iteration."""
    gap = 0.0
    for _ in range(epochs):
        for count in counts:
            gap = (
                setting.contraction * gap
                + 2 * setting.rate * setting.lipschitz * count / setting.batch
            )
    return gap


@pytest.mark.parametrize("counts", [(1, 0, 0), (0, 0, 1), (2, 0, 3), (4, 4, 4)])
def test_gap_of_records_by_batch(counts):
    setting = small()
    for epochs in (1, 2, 30):
        assert setting.gap_of(counts, epochs) == pytest.approx(recursion(setting, counts, epochs))
    assert setting.gap_of(counts) == pytest.approx(recursion(setting, counts, 400))
    assert small(strong=0.0).gap_of(counts, 7) == pytest.approx(
        recursion(small(strong=0.0), counts, 7)
    )


def test_without_any_memory_one_iteration_is_enough():
    # eta m = 1: a step ends at the same place from wherever it starts.
    setting = small(12, rate=1.0, strong=1.0, smooth=1.0)
    assert setting.contraction == 0
    assert setting.gap() == setting.gap_of([1]) == pytest.approx(2 / 12)
    assert setting.epochs_for(1e-3, 1e-3, 0.2, 1e-6) == 1
    assert setting.epsilon(1e-3, 0.2, 1e-6, 1) == 0


def test_a_single_record_is_a_whole_data_set():
    # One step of weight eta 2 M, again in every epoch, each shrunk by c.
    one = small(1, n=1)
    assert one.gap() == pytest.approx(2 * 0.8 / (1 - one.contraction))


def test_an_empty_place_halves_the_gap():
    assert small(emptied=True).gap() == pytest.approx(small().gap() / 2)


def test_the_worst_place_of_a_record_is_the_last_batch():
    setting = small()
    assert setting.gap() == pytest.approx(setting.gap_of([0, 0, 1]))
    assert setting.gap_of([1, 0, 0]) < setting.gap_of([0, 1, 0]) < setting.gap()


def test_no_gap_is_wider_than_the_ball():
    # The published code leaves this bound out.
    ball = small(radius=0.05)
    assert ball.gap() == ball.gap_of([4, 4, 4]) == 0.1


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 5}, "12 records cannot be divided into batches of 5"),
        ({"rate": 0.84}, "at most 1/L = 0.83"),
        ({"strong": 1.3}, "0 <= m <= L"),
        ({"strong": -0.1}, "0 <= m <= L"),
        ({"lipschitz": math.inf}, "clip the gradients"),
        ({"radius": 0.0}, "radius is 0"),
    ],
)
def test_constants_without_a_guarantee_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        small(**changes)


def test_questions_without_an_answer_are_refused():
    setting = small()
    with pytest.raises(ConfigError, match="sigma is 0"):
        setting.epsilon(0.1, 1.0, 0.0, 1)
    with pytest.raises(ConfigError, match="0 epochs give no guarantee"):
        setting.decay(0)
    with pytest.raises(ConfigError, match=r"form .* 'exat' is not known.*'exact'\?"):
        setting.decay(1, "exat")
    with pytest.raises(ConfigError, match="delta is 1"):
        setting.epsilon(1.0, 1.0, 1.0, 1)
    with pytest.raises(ConfigError, match="epsilon is 0"):
        setting.sigma_for(0.0, 0.1, 1.0, 1)
    with pytest.raises(ConfigError, match="too small for double precision"):
        setting.epochs_for(1e-200, 0.1, 1.0, 1.0)
    with pytest.raises(ConfigError, match="counted for 3 batches, each from 0 to 4"):
        setting.gap_of([5, 0, 0])
    with pytest.raises(ConfigError, match="counted for 3 batches, each from 0 to 4"):
        setting.gap_of([-1, 2, 0])
