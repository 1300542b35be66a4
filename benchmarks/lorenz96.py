"""Lorenz-96 beside other ways to integrate many members, in one run.

One scale, 36 variables, 1000 members, double precision, the classical Runge-Kutta method:

- popinv: `Lorenz96.solve`, which also takes the averages (six observables every tenth step);
- hand-blocked: a Numba kernel as one writes it by hand, with blocks of 32 members innermost and
  ``fastmath``, for the trajectory alone;
- NumPy: all members at once, shifted with ``np.roll``;
- torch: the same with ``torch.roll``;
- JAX: the same with ``jnp.roll`` in a compiled ``lax.scan``; left out where JAX is not installed.

Each way runs for a while of its own steps, in turn with the others, and the fastest turn counts.
The process is confined to one core at the start, where the system allows that, since JAX has no
other way to be held to one thread; and time is counted in the processor's seconds, so that other
work on the machine counts less. Two scales are timed for popinv alone.

Run it with ``python benchmarks/lorenz96.py``; nothing is asserted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

THREADS = 1
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = str(THREADS)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numba  # noqa: E402
import numpy as np  # noqa: E402

from popinv.forward.lorenz96.model import Lorenz96  # noqa: E402

MEMBERS, VARIABLES, FORCING, TIME_STEP = 1000, 36, 8.0, 0.01
BLOCK, TURNS = 32, 5


def section(scales: int, steps: int) -> dict:
    """Return a section as the configuration checks and completes it."""
    time_step = TIME_STEP if scales == 1 else 0.005
    names = ["x", "x_squared", "x_lag_1", "x_lag_2", "x_lag_3", "x_lag_4"]
    return {
        "scales": scales, "variables": VARIABLES, "subvariables": 10, "time_step": time_step,
        "spin_up": 0.0, "window": steps * time_step, "windows": 1, "sample_every": 10,
        "observables": names if scales == 1 else [*names, "y", "y_squared", "x_y"],
    }  # fmt: skip


@numba.njit(fastmath=True)
def block_slope(x, slope):
    variables = x.shape[0]
    for k in range(variables):
        after, before, two_before = (k + 1) % variables, k - 1, k - 2
        for m in range(BLOCK):
            slope[k, m] = x[before, m] * (x[after, m] - x[two_before, m]) - x[k, m] + FORCING


@numba.njit(fastmath=True)
def hand_blocked(x, steps):
    a, b = np.empty_like(x), np.empty_like(x)
    total = np.empty_like(x)
    for _ in range(steps):
        block_slope(x, a)
        for k in range(x.shape[0]):
            for m in range(BLOCK):
                total[k, m] = x[k, m] + TIME_STEP / 6 * a[k, m]
                b[k, m] = x[k, m] + TIME_STEP / 2 * a[k, m]
        for weight, ahead in ((TIME_STEP / 3, TIME_STEP / 2), (TIME_STEP / 3, TIME_STEP)):
            block_slope(b, a)
            for k in range(x.shape[0]):
                for m in range(BLOCK):
                    total[k, m] += weight * a[k, m]
                    b[k, m] = x[k, m] + ahead * a[k, m]
        block_slope(b, a)
        for k in range(x.shape[0]):
            for m in range(BLOCK):
                x[k, m] = total[k, m] + TIME_STEP / 6 * a[k, m]


def rolled_step(x, roll):
    """One Runge-Kutta step of states (members, variables), for any library with a roll."""

    def slope(u):
        return roll(u, 1) * (roll(u, -1) - roll(u, 2)) - u + FORCING

    k_1 = slope(x)
    k_2 = slope(x + TIME_STEP / 2 * k_1)
    k_3 = slope(x + TIME_STEP / 2 * k_2)
    k_4 = slope(x + TIME_STEP * k_3)
    return x + TIME_STEP / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)


def ways(start: np.ndarray) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return for each way its number of steps and a function that makes them."""
    found: dict[str, tuple[int, Callable[[], object]]] = {}
    model, z = Lorenz96(section(1, 5000), seed=1), np.full((MEMBERS, 1), FORCING)
    found["popinv, with averages"] = (5000, lambda: model.solve(z))

    blocks = [np.resize(start[i : i + BLOCK], (BLOCK, VARIABLES)) for i in range(0, MEMBERS, BLOCK)]
    blocks = [np.ascontiguousarray(block.T) for block in blocks]
    found["hand-blocked Numba"] = (2000, lambda: [hand_blocked(block, 2000) for block in blocks])

    def with_numpy(steps: int = 100) -> np.ndarray:
        x = start
        for _ in range(steps):
            x = rolled_step(x, lambda u, shift: np.roll(u, shift, axis=1))
        return x

    found["NumPy roll"] = (100, with_numpy)
    try:
        import torch
    except ImportError:
        print("torch is not installed and is left out")
    else:
        torch.set_num_threads(THREADS)

        def with_torch(steps: int = 100) -> torch.Tensor:
            x = torch.from_numpy(start)
            for _ in range(steps):
                x = rolled_step(x, lambda u, shift: torch.roll(u, shift, dims=1))
            return x

        found["torch roll"] = (100, with_torch)
    try:
        import jax
    except ImportError:
        print("JAX is not installed and is left out")
    else:
        jax.config.update("jax_enable_x64", True)
        numpy_of_jax = jax.numpy

        # Variables first or last: both are natural, and the faster one is not known beforehand.
        for label, axis in (("JAX scan, members first", 1), ("JAX scan, members last", 0)):
            x_start = numpy_of_jax.asarray(start if axis else np.ascontiguousarray(start.T))

            def body(x, _, axis=axis):
                roll = numpy_of_jax.roll
                return rolled_step(x, lambda u, shift: roll(u, shift, axis=axis)), None

            scan = jax.jit(lambda x, body=body: jax.lax.scan(body, x, None, length=200)[0])
            found[label] = (200, lambda x=x_start, scan=scan: scan(x).block_until_ready())
    return found


def main() -> None:
    start = 2 + 3.5 * np.random.default_rng(0).standard_normal((MEMBERS, VARIABLES))
    found = ways(start)
    best = dict.fromkeys(found, np.inf)
    for turn in range(TURNS + 1):  # the first turn compiles
        for name, (steps, work) in found.items():
            began = time.process_time()
            work()
            seconds = (time.process_time() - began) / (steps * MEMBERS)
            if turn:
                best[name] = min(best[name], seconds)
    reference = best["popinv, with averages"]
    print(f"{MEMBERS} members, {VARIABLES} variables, float64, {THREADS} thread each")
    print(f"{'way':<26}{'member-steps per second':>25}{'popinv faster by':>18}")
    for name, seconds in best.items():
        print(f"{name:<26}{1 / seconds:>25.3g}{seconds / reference:>18.2f}")

    members, steps = 128, 1000
    two = Lorenz96(section(2, steps), seed=1)
    z = np.tile([10.0, 1.0, 10.0, 10.0], (members, 1))
    two.solve(z)
    times = []
    for _ in range(TURNS):
        began = time.process_time()
        two.solve(z)
        times.append(time.process_time() - began)
    print(f"two scales, 36 x 10, with averages: {members * steps / min(times):.3g} a second")


if __name__ == "__main__":
    main()
