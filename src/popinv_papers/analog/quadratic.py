"""Quadratic problems on which the error due to a device is computed exactly.

    f(w) = |A (w - w*)|^2 / (2 n),   gradient H (w - w*),   H = A^T A / n,

with normal A (n x D) and w*. Many trainings run at once, one per row, each with its own rates,
noise and dynamic range. Gradients have noise: normal noise, or the two-point noise of the paper's
lower bound (Theorem 3).

The paper's statements on this error are measured in parts. Each part returns numbers by name;
:mod:`popinv_papers.analog.claims` turns them into claims.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from popinv.seeds import generator
from popinv_papers.analog.algorithms import AnalogTraining, begin, point, step
from popinv_papers.analog.devices import (
    DEVICES,
    Counts,
    asymmetric_linear,
    device,
    pulsed_update,
    soft_bounds,
    update,
)

_BLOCK = 1000

# Maps the generator, the iterates and the shape to noise.
Noise = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LeastSquares:
    """A matrix A of shape (n, D) and a solution of shape (D,)."""

    matrix: np.ndarray
    solution: np.ndarray

    @classmethod
    def drawn(cls, seed: int) -> LeastSquares:
        """Return the paper's problem: standard normal A (100, 40), w* of deviation 0.45."""
        rng = generator(seed, "analog/least_squares")
        return cls(rng.standard_normal((100, 40)), 0.45 * rng.standard_normal(40))

    @property
    def hessian(self) -> np.ndarray:
        """Return H, of shape (D, D)."""
        return self.matrix.T @ self.matrix / len(self.matrix)


@dataclass(frozen=True)
class Trace:
    """Averages over the second half of a training, one number or vector per row.

    Attributes
    ----------
    squared_gradient : ndarray of shape (rows,)
        Mean of |H (w - w*)|^2.
    mean : ndarray of shape (rows, D)
        Mean iterate.
    saturation : ndarray of shape (rows,)
        S, the mean of u/(1 - u) with u = |w|_inf^2 / reach^2 over the whole training.
    largest : ndarray of shape (rows,)
        Largest |w|_inf over the whole training.
    """

    squared_gradient: np.ndarray
    mean: np.ndarray
    saturation: np.ndarray
    largest: np.ndarray


def gaussian(sigma: np.ndarray | float) -> Noise:
    """Return normal noise; ``sigma`` is a number, or one per row of shape (rows, 1)."""
    return lambda rng, w: sigma * rng.standard_normal(w.shape)


def two_point(sigma: float, reach: float) -> Noise:
    """Return the noise of Theorem 3's instance, for w = w 1.

    xi = s sqrt((1-p)/p) with probability p, else -s sqrt(p/(1-p)), the same in all coordinates,
    with p = (1 - w/reach)/2 and s = sigma/sqrt(D). Its mean is 0 and E|xi 1|^2 = sigma^2.
    """

    def noise(rng: np.random.Generator, w: np.ndarray) -> np.ndarray:
        p = (1 - w[:, :1] / reach) / 2
        rises = rng.random((len(w), 1)) < p
        s = sigma / math.sqrt(w.shape[1])
        xi = np.where(rises, s * np.sqrt((1 - p) / p), -s * np.sqrt(p / (1 - p)))
        return np.broadcast_to(xi, w.shape)

    return noise


def run(
    problem: LeastSquares,
    method: AnalogTraining,
    noise: Noise,
    start: np.ndarray,
    steps: int,
    seed: int,
    stage: str,
    reach: np.ndarray | float = np.inf,
) -> Trace:
    """Train all rows of ``start`` (rows, D) at once.

    Rates and devices of the method may hold arrays of shape (rows, 1), as may ``reach``, the
    dynamic range for S. The noise is added to the gradient; its address is (seed, stage).
    """
    hessian, solution = problem.hessian, problem.solution
    state = begin(np.array(start), method)
    total = np.zeros_like(state.w)
    squares, saturation, largest = np.zeros((3, len(start)))
    half = steps // 2
    for k in range(steps):
        if k % _BLOCK == 0:
            rng = generator(seed, f"analog/{stage}", k // _BLOCK)
        at = point(state, method)
        gradient = (at - solution) @ hessian
        if k >= half:
            true = gradient if at is state.w else (state.w - solution) @ hessian
            squares += np.einsum("ij,ij->i", true, true)
            total += state.w
        top = abs(state.w).max(axis=1)
        np.maximum(largest, top, out=largest)
        u = (top[:, None] / reach) ** 2
        saturation += (u / (1 - u))[:, 0]
        state = step(state, gradient + noise(rng, state.w), method)
    left = steps - half
    return Trace(squares / left, total / left, saturation / steps, largest)


def digital_error(problem: LeastSquares, rate: float, sigma: float) -> float:
    """Return the stationary E|gradient|^2 of digital descent: sum rate h sigma^2/(2 - rate h)."""
    h = np.linalg.eigvalsh(problem.hessian)
    return float(np.sum(rate * h * sigma**2 / (2 - rate * h)))


def analog_minimiser(problem: LeastSquares, sigma: float, reach: float) -> np.ndarray:
    """Return the minimiser of f(w) + (S/(2 reach)) |w|^2, S = E|noise| of a coordinate.

    Analog descent converges to it on average if the noise outweighs the gradient (arXiv
    2502.06309). For normal noise S is sqrt(2/pi) sigma.
    """
    size = math.sqrt(2 / math.pi) * sigma
    hessian, d = problem.hessian, len(problem.solution)
    return np.linalg.solve(hessian + size / reach * np.eye(d), hessian @ problem.solution)


def per_sample_losses(
    problem: LeastSquares, seed: int, per_sample: bool, analog: bool
) -> np.ndarray:
    """Return the mean loss per coordinate over the last 20 steps, one number per rate.

    The loss is |A (w - w*)|^2/n. Weights are read with normal noise, which is tiny and drawn anew
    for each sample. With ``per_sample`` every sample's gradient is its own
    increment, so sizes add up over the samples while the increments cancel. Otherwise the gradient
    of the batch is one increment.
    """
    a, n, reach, steps = problem.matrix, len(problem.matrix), 3.0, 2500
    noise = 0.01 / math.sqrt(len(problem.solution))
    rates = column(PER_SAMPLE_RATES)
    w = np.zeros((len(rates), a.shape[1]))
    last = np.zeros(len(rates))
    for k in range(steps):
        if k % _BLOCK == 0:
            rng = generator(seed, "analog/per_sample", k // _BLOCK)
        # Noise of the weights enters a sample's error through its row of A.
        errors = (w - problem.solution) @ a.T
        errors = errors + noise * np.linalg.norm(a, axis=1) * rng.standard_normal(errors.shape)
        gradient = 2 / n * errors @ a
        size = 2 / n * abs(errors) @ abs(a) if per_sample else abs(gradient)
        change = -rates * gradient
        w = w + change - (rates * size * w / reach if analog else 0)
        if k >= steps - 20:
            last += np.square((w - problem.solution) @ a.T).mean(axis=1) / a.shape[1] / 20
    return last


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
class QuadraticSize:
    """Steps of a training and of the lower bound, and rows of averages over draws."""

    steps: int
    bound_steps: int
    draws: int


def column(values: tuple[float, ...]) -> np.ndarray:
    """Return numbers as a column, one per row."""
    return np.array(values)[:, None]


def numbers(size: QuadraticSize, seed: int) -> Numbers:
    """Return all numbers of this module."""
    problem = LeastSquares.drawn(seed)
    by_name: Numbers = {}
    for part in (rates, dependences, shifts, kinds_of_devices):
        by_name |= part(problem, size, seed)
    for other in (lower_bound, critical_point, responses):
        by_name |= other(size, seed)
    return by_name | samples(problem, seed)


def bias(problem: LeastSquares, trace: Trace) -> np.ndarray:
    """Return |mean iterate - w*|, one number per row."""
    return np.linalg.norm(trace.mean - problem.solution, axis=1)


def _from_zero(
    problem: LeastSquares,
    method: AnalogTraining,
    rows: int,
    size: QuadraticSize,
    seed: int,
    stage: str,
    reach: float = np.inf,
) -> Trace:
    """Train from zero weights, with the usual noise."""
    start = np.zeros((rows, len(problem.solution)))
    return run(problem, method, gaussian(NOISE), start, size.steps, seed, stage, reach)


def rates(problem: LeastSquares, size: QuadraticSize, seed: int) -> Numbers:
    """Run every method at falling rates."""
    ald = asymmetric_linear(REACH)
    two = AnalogTraining("tiki_taka", FAST_RATE, column(TRANSFERS), device=ald)
    methods = {
        "digital": (RATES, AnalogTraining("digital", column(RATES))),
        "analog": (RATES, AnalogTraining("analog", column(RATES), device=ald)),
        "tiki_taka": (TRANSFERS, two),
        "residual": (TRANSFERS, replace(two, kind="residual", mixing=0.4)),
    }
    measured: Numbers = {}
    for name, (values, method) in methods.items():
        trace = _from_zero(problem, method, len(values), size, seed, f"rates/{name}", REACH)
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


def dependences(problem: LeastSquares, size: QuadraticSize, seed: int) -> Numbers:
    """Vary the dynamic range, the noise and the start of analog descent."""
    d = len(problem.solution)
    inside = 0.9 * REACH * generator(seed, "analog/starts").uniform(-1, 1, (1, d))
    starts = {"zero": np.zeros((1, d)), "solution": problem.solution[None], "random": inside}
    rows = [(f"range_{r:g}", r, NOISE, starts["zero"]) for r in RANGES]
    rows += [(f"noise_{s:g}", REACH, s, starts["zero"]) for s in NOISES]
    rows += [(f"start_{name}", REACH, NOISE, start) for name, start in starts.items()]
    names, reach, sigma, start = zip(*rows, strict=True)
    method = AnalogTraining("analog", 0.01, device=asymmetric_linear(column(reach)))
    noise, begun = gaussian(column(sigma)), np.concatenate(start)
    trace = run(problem, method, noise, begun, size.steps, seed, "dependences", column(reach))
    measured = {
        f"analog_{name}_bias": off for name, off in zip(names, bias(problem, trace), strict=True)
    }
    within = trace.largest / np.array(reach)
    return measured | {"analog_largest_weight_to_range": float(within.max())}


def shifts(problem: LeastSquares, size: QuadraticSize, seed: int) -> Numbers:
    """Run Tiki-Taka whose second array has its symmetric point at c reach instead of at 0."""
    measured: Numbers = {}
    c = column(SHIFTS)
    method = AnalogTraining(
        "tiki_taka",
        FAST_RATE,
        transfer=0.001,
        device=asymmetric_linear(REACH),
        fast_device=soft_bounds(REACH, -REACH, 1 + c, 1 - c),
    )
    trace = _from_zero(problem, method, len(SHIFTS), size, seed, "shifts", REACH)
    for shift, off in zip(SHIFTS, bias(problem, trace), strict=True):
        measured[f"tiki_taka_shift_{shift:g}_bias"] = off
    return measured


def kinds_of_devices(problem: LeastSquares, size: QuadraticSize, seed: int) -> Numbers:
    """Run both methods on each kind of device, with a range that holds the solution."""
    measured: Numbers = {}
    for name in DEVICES:
        # A half more than the solution needs below, where soft bounds end at -0.6 of the range.
        model = device(name, 1.5 * float(abs(problem.solution).max()) / 0.6)
        for method in (
            AnalogTraining("analog", 0.01, device=model),
            AnalogTraining("tiki_taka", FAST_RATE, transfer=0.001, device=model),
        ):
            trace = _from_zero(problem, method, 1, size, seed, f"devices/{method.kind}")
            measured[f"{method.kind}_{name}_bias"] = bias(problem, trace)[0]
    return measured


def lower_bound(size: QuadraticSize, seed: int) -> Numbers:
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
    method = AnalogTraining("analog", column(rates), device=asymmetric_linear(REACH))
    start = np.tile(solution, (len(rates), 1))
    noise, steps = two_point(sigma, REACH), size.bound_steps
    trace = run(problem, method, noise, start, steps, seed, "bound", REACH)
    # The square of the mean gradient, without the fluctuations, which fall with the rate.
    floor = np.square(trace.mean - solution).sum(axis=1)
    for k, rate in enumerate(rates):
        unit, square = sigma**2 * trace.saturation[k], trace.squared_gradient[k]
        measured[f"bound_{rate:g}_squared_gradient_to_noise_times_s"] = square / unit
        measured[f"bound_{rate:g}_floor_to_noise_times_s"] = floor[k] / unit
    # Digital descent with the same noise; S is taken from analog descent, its rival.
    plain = AnalogTraining("digital", rates[-1])
    exact = run(problem, plain, noise, start[:1], steps, seed, "bound", REACH)
    measured["bound_digital_squared_gradient_to_noise_times_s"] = exact.squared_gradient[0] / unit
    return measured


def critical_point(size: QuadraticSize, seed: int) -> Numbers:
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
        (AnalogTraining("analog", rate, device=ald), rate),
        (AnalogTraining("tiki_taka", fast, transfer=rate, device=ald), rate * fast),
    ):
        moved = step(begin(np.full(len(noise), w), method), noise, method).w
        drift = -float((moved - w).mean())
        measured[f"{method.kind}_drift_to_theory"] = drift / (factor / reach * mean_size * w)
    p, steps = np.full(size.draws, 0.5), 50
    for _ in range(steps):
        p = update(ald, p, rate * sigma * rng.standard_normal(size.draws))
    shrunk = (1 - rate / reach * mean_size) ** steps
    return measured | {"second_array_decay_to_theory": float(p.mean()) / 0.5 / shrunk}


def responses(size: QuadraticSize, seed: int) -> Numbers:
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
    for name, each, analog in (
        ("digital", False, False),
        ("analog_batch", False, True),
        ("analog_samples", True, True),
    ):
        losses = per_sample_losses(problem, seed, each, analog)
        for rate, loss in zip(PER_SAMPLE_RATES, losses, strict=True):
            measured[f"{name}_{rate:g}_loss"] = loss
    return measured
