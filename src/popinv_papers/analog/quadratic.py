"""The paper's statements on the error due to devices, measured on quadratic problems.

Each part returns numbers by name; :mod:`popinv_papers.analog.claims` turns them into claims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from popinv.seeds import generator
from popinv_papers.analog.algorithms import Method, begin, step
from popinv_papers.analog.devices import (
    DEVICES,
    Counts,
    asymmetric_linear,
    device,
    pulsed_update,
    soft_bounds,
    update,
)
from popinv_papers.analog.least_squares import (
    LeastSquares,
    Trace,
    analog_minimiser,
    digital_error,
    gaussian,
    per_sample_losses,
    run,
    two_point,
)

REACH, NOISE = 2.0, 0.1
RATES = (0.1, 0.03, 0.01, 0.003)
TRANSFERS = (0.003, 0.001, 0.0003)
FAST_RATE = 0.1
RANGES = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
NOISES = (0.02, 0.05, 0.1, 0.2, 0.5)
SHIFTS = (0.0, 0.1, 0.3)
PER_SAMPLE_RATES = (0.2, 0.1, 0.05, 0.03)

Numbers = dict[str, float]


@dataclass(frozen=True)
class Size:
    """Steps of a training and of the lower bound, and rows of averages over draws."""

    steps: int
    bound_steps: int
    draws: int


def column(values: tuple[float, ...]) -> np.ndarray:
    """Return numbers as a column, one per row."""
    return np.array(values)[:, None]


def numbers(size: Size, seed: int) -> Numbers:
    """Return all numbers of this module."""
    problem = LeastSquares.drawn(seed)
    by_name: Numbers = {}
    for part in (rates, dependences, shifts, kinds_of_devices):
        by_name |= part(problem, size, seed)
    return (
        by_name
        | lower_bound(size, seed)
        | critical_point(size, seed)
        | responses(size, seed)
        | samples(problem, seed)
    )


def bias(problem: LeastSquares, trace: Trace) -> np.ndarray:
    """Return |mean iterate - w*|, one number per row."""
    return np.linalg.norm(trace.mean - problem.solution, axis=1)


def rates(problem: LeastSquares, size: Size, seed: int) -> Numbers:
    """Run every method at falling rates."""
    ald = asymmetric_linear(REACH)
    two = Method("tiki_taka", FAST_RATE, column(TRANSFERS), device=ald)
    methods = {
        "digital": (RATES, Method("digital", column(RATES))),
        "analog": (RATES, Method("analog", column(RATES), device=ald)),
        "tiki_taka": (TRANSFERS, two),
        "residual": (TRANSFERS, replace(two, kind="residual", mixing=0.4)),
    }
    measured: Numbers = {}
    for name, (values, method) in methods.items():
        start = np.zeros((len(values), len(problem.solution)))
        trace = run(
            problem, method, gaussian(NOISE), start, size.steps, seed, f"rates/{name}", REACH
        )
        for rate, square, off in zip(
            values, trace.squared_gradient, bias(problem, trace), strict=True
        ):
            measured[f"{name}_{rate:g}_squared_gradient"] = square
            measured[f"{name}_{rate:g}_bias"] = off
    for rate in RATES:
        measured[f"digital_{rate:g}_squared_gradient_theory"] = digital_error(problem, rate, NOISE)
    for name, reach in (("theory", REACH), ("half_theory", 2 * REACH)):
        penalised = analog_minimiser(problem, NOISE, reach) - problem.solution
        measured[f"analog_bias_{name}"] = float(np.linalg.norm(penalised))
    return measured


def dependences(problem: LeastSquares, size: Size, seed: int) -> Numbers:
    """Vary the dynamic range, the noise and the start of analog descent."""
    d = len(problem.solution)
    inside = 0.9 * REACH * generator(seed, "analog/starts").uniform(-1, 1, (1, d))
    starts = {"zero": np.zeros((1, d)), "solution": problem.solution[None], "random": inside}
    rows = [(f"range_{r:g}", r, NOISE, starts["zero"]) for r in RANGES]
    rows += [(f"noise_{s:g}", REACH, s, starts["zero"]) for s in NOISES]
    rows += [(f"start_{name}", REACH, NOISE, start) for name, start in starts.items()]
    names, reach, sigma, start = zip(*rows, strict=True)
    method = Method("analog", 0.01, device=asymmetric_linear(column(reach)))
    trace = run(
        problem,
        method,
        gaussian(column(sigma)),
        np.concatenate(start),
        size.steps,
        seed,
        "dependences",
        column(reach),
    )
    measured = dict(
        zip((f"analog_{name}_bias" for name in names), bias(problem, trace), strict=True)
    )
    within = trace.largest / np.array(reach)
    return measured | {"analog_largest_weight_to_range": float(within.max())}


def shifts(problem: LeastSquares, size: Size, seed: int) -> Numbers:
    """Run Tiki-Taka whose second array has its symmetric point at c reach instead of at 0."""
    measured: Numbers = {}
    c = column(SHIFTS)
    method = Method(
        "tiki_taka",
        FAST_RATE,
        transfer=0.001,
        device=asymmetric_linear(REACH),
        fast_device=soft_bounds(REACH, -REACH, 1 + c, 1 - c),
    )
    start = np.zeros((len(SHIFTS), len(problem.solution)))
    trace = run(problem, method, gaussian(NOISE), start, size.steps, seed, "shifts", REACH)
    for shift, off in zip(SHIFTS, bias(problem, trace), strict=True):
        measured[f"tiki_taka_shift_{shift:g}_bias"] = off
    return measured


def kinds_of_devices(problem: LeastSquares, size: Size, seed: int) -> Numbers:
    """Run both methods on each kind of device, with a range that holds the solution."""
    measured: Numbers = {}
    for name in DEVICES:
        # A half more than the solution needs below, where soft bounds end at -0.6 of the range.
        model = device(name, 1.5 * float(abs(problem.solution).max()) / 0.6)
        for method in (
            Method("analog", 0.01, device=model),
            Method("tiki_taka", FAST_RATE, transfer=0.001, device=model),
        ):
            start = np.zeros((1, len(problem.solution)))
            trace = run(
                problem,
                method,
                gaussian(NOISE),
                start,
                size.steps,
                seed,
                f"devices/{method.kind}",
            )
            measured[f"{method.kind}_{name}_bias"] = bias(problem, trace)[0]
    return measured


def lower_bound(size: Size, seed: int) -> Numbers:
    """Run the instance of Theorem 3: f = |w - w*|^2/2, w* = reach/4, two-point noise, start w*.

    If the noise outweighs the gradient, the mean drift is 0 where the squared gradient is
    sigma^2 u/(1 - u) with u = (w/reach)^2.
    """
    d = 10
    # The largest noise that the theorem allows is reach sqrt(D)/(4 sqrt 3).
    sigma = 0.9 * REACH * math.sqrt(d) / (4 * math.sqrt(3))
    solution = np.full(d, REACH / 4)
    problem = LeastSquares(math.sqrt(d) * np.eye(d), solution)
    measured: Numbers = {}
    rates = (0.03, 0.01, 0.003)
    method = Method("analog", column(rates), device=asymmetric_linear(REACH))
    start = np.tile(solution, (len(rates), 1))
    trace = run(
        problem, method, two_point(sigma, REACH), start, size.bound_steps, seed, "bound", REACH
    )
    # The square of the mean gradient, without the fluctuations, which fall with the rate.
    floor = np.square(trace.mean - solution).sum(axis=1)
    for k, rate in enumerate(rates):
        unit = sigma**2 * trace.saturation[k]
        measured[f"bound_{rate:g}_squared_gradient_to_noise_times_s"] = (
            trace.squared_gradient[k] / unit
        )
        measured[f"bound_{rate:g}_floor_to_noise_times_s"] = floor[k] / unit
    # Digital descent with the same noise; S is that of analog descent, which it is compared with.
    plain = Method("digital", rates[-1])
    exact = run(
        problem, plain, two_point(sigma, REACH), start[:1], size.bound_steps, seed, "bound", REACH
    )
    measured["bound_digital_squared_gradient_to_noise_times_s"] = exact.squared_gradient[0] / unit
    return measured


def critical_point(size: Size, seed: int) -> Numbers:
    """Compare the drift of W and the mean of P with theory, where the gradient is noise."""
    rng = generator(seed, "analog/critical_point")
    w, reach, sigma, rate, fast = 1.0, REACH, 0.5, 0.1, 0.02
    noise = sigma * rng.standard_normal(size.draws)
    # Every draw has its opposite, as in its law. The remaining mean is the drift.
    noise = np.concatenate([noise, -noise])
    mean_size = math.sqrt(2 / math.pi) * sigma
    ald = asymmetric_linear(reach)
    measured: Numbers = {}
    for method, factor in (
        (Method("analog", rate, device=ald), rate),
        (Method("tiki_taka", fast, transfer=rate, device=ald), rate * fast),
    ):
        moved = step(begin(np.full(len(noise), w), method), noise, method).w
        drift = -float((moved - w).mean())
        measured[f"{method.kind}_drift_to_theory"] = drift / (factor / reach * mean_size * w)
    p, steps = np.full(size.draws, 0.5), 50
    for _ in range(steps):
        p = update(ald, p, rate * sigma * rng.standard_normal(size.draws))
    shrunk = (1 - rate / reach * mean_size) ** steps
    return measured | {"second_array_decay_to_theory": float(p.mean()) / 0.5 / shrunk}


def responses(size: Size, seed: int) -> Numbers:
    """Try single pulses near the end of the range, and increments as large as the range."""
    rng = generator(seed, "analog/responses")
    reach, w, granularity = 1.0, np.full(size.draws, 0.9), 1e-3
    ald = asymmetric_linear(reach)
    measured: Numbers = {}
    for name, sign in (("saturation", 1), ("fast_reset", -1)):
        up, down = (np.full_like(w, float(sign == side)) for side in (1, -1))
        one = Counts(up, down, 0 * w, 0 * w)
        moved = pulsed_update(ald, w, one, granularity, rng.standard_normal(w.shape), 0.3)
        measured[f"{name}_factor"] = float(sign * (moved - w).mean() / granularity)
    largest, w = 0.0, reach * rng.uniform(-1, 1, 1000)
    for _ in range(size.draws // 20):
        # Half of them have the largest size that is allowed.
        change = reach * rng.uniform(-1, 1, len(w))
        w = update(ald, w, np.where(rng.random(len(w)) < 0.5, change, reach * np.sign(change)))
        largest = max(largest, float(abs(w).max()))
    return measured | {"largest_weight_to_range": largest / reach}


def samples(problem: LeastSquares, seed: int) -> Numbers:
    """Reproduce the paper's Figure 1: tiny noise, with and without an increment per sample."""
    measured: Numbers = {}
    noise = 0.01 / math.sqrt(len(problem.solution))
    for name, each, analog in (
        ("digital", False, False),
        ("analog_batch", False, True),
        ("analog_samples", True, True),
    ):
        losses = per_sample_losses(problem, PER_SAMPLE_RATES, 3.0, noise, 2500, seed, each, analog)
        for rate, loss in zip(PER_SAMPLE_RATES, losses, strict=True):
            measured[f"{name}_{rate:g}_loss"] = loss
    return measured
