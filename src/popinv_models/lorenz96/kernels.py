r"""Compiled loops of Lorenz-96: its equations in time, and averages taken while they run.

With K slow variables X_k on a ring and, for two scales, J fast variables Y_jk for each,

    X_k'  = X_{k-1} (X_{k+1} - X_{k-2}) - d X_k + F - h c mean_j(Y_jk)
    Y_jk' = -c b Y_{j+1,k} (Y_{j+2,k} - Y_{j-1,k}) - c Y_jk + (h c / J) X_k

where d = 1 and the fast variables form one ring of length K J, Y_{J+1,k} = Y_{1,k+1}. With one
scale the last term of the first equation is absent. The advection conserves sum_k X_k^2 and
sum_jk Y_jk^2, each for itself; with the coupling their sum is conserved, and damping and forcing
alone change it. The time step is the classical Runge-Kutta method of order 4.

A block holds `MEMBERS` members. The slow variables of a block are a row of numbers
``i = k MEMBERS + m``, m for the member, and the fast variables one such row for each j, so that
they line up with the slow variable that drives them: every loop is one run over contiguous
numbers with the same operations for all, which compilers vectorise well. Arithmetic follows
IEEE 754, without reordering, and products are fused with sums only where the code says so, so that
a member's trajectory does not depend on its place among the others, bit for bit.

An observable is the product of two fields, shifted against each other by some places of the ring
(see `popinv_models.lorenz96.section.OBSERVABLES`). Its value is the mean over the K places
and over samples at regular times in the window; no trajectory is stored.

All of it is one module because Numba keeps compiled functions by module, and would not notice a
change in a function of another module that they call.

Source: E. N. Lorenz, Predictability: a problem partly solved (1996), equations 1 to 3. There the
couplings are (h c / b) sum_j Y_jk and (h c / b) X_k: the same with h = h_Lorenz J / b.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from popinv.store.compiled import njit

# The number of members is known when the loops are compiled, as only then can the compiler tell
# which of the shifted reads of a row overlap. More members keep more of the units busy; fewer leave
# the ten rows that a layer of fast variables needs in a cache of 32 KB. A step of one member took,
# with 8 and 16 members, 48 and 36 ns (one scale) and 0.97 and 0.89 us (two) on an AMD EPYC with
# AVX2; 55 and 50 ns, 1.32 and 1.48 us on one with AVX-512.
MEMBERS = 16

SLOW_DAMPING = 1.0

# The factors of observables, each one number for every slow variable: 1, the slow variable, and
# means over the fast variables of its sector.
FIELDS = ("one", "x", "y", "y_squared", "y_neighbours")
_ONE, _X, _Y, _Y_SQUARED, _Y_NEIGHBOURS = range(len(FIELDS))

# Rows of the coefficients of a block.
_FORCING, _FEEDBACK, _ADVECTION, _DECAY, _DRIVE = range(5)

# Neighbours on the ring that are kept before a variable's row and after it: places of the slow
# variables, and layers of the fast ones.
_SLOW_BEFORE, _SLOW_AFTER = 2, 1
_FAST_BEFORE, _FAST_AFTER = 1, 2
_START = _SLOW_BEFORE * MEMBERS


def _type_of_fused(context: Any, a: Any, b: Any, c: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), code


# a b + c, rounded once: one instruction of processors since 2013.
_fused: Any = intrinsic(_type_of_fused)


@njit
def _slow_part(x: np.ndarray) -> np.ndarray:
    """Return the slow variables of a state, without the neighbours about them."""
    return x[_START : x.size - _SLOW_AFTER * MEMBERS]


@njit
def _layers(y: np.ndarray) -> tuple:
    """Return the first and the end of the rows of fast variables in a state's ``y``."""
    return _FAST_BEFORE, y.shape[0] - _FAST_AFTER


@njit
def _allocate(slow: np.ndarray, fast: np.ndarray) -> tuple:
    """Return four states with room for neighbours, the first as given, and a row of scratch.

    Returns
    -------
    (ndarray of shape (4, ...), ndarray of shape (4, J + 3, K MEMBERS), ndarray)
        Slow and fast variables of the states, and the scratch.
    """
    n, fast_rows = slow.size, fast.shape[0]
    x = np.zeros((4, n + (_SLOW_BEFORE + _SLOW_AFTER) * MEMBERS))
    y = np.zeros((4, fast_rows + _FAST_BEFORE + _FAST_AFTER, n))
    x[0, _START : _START + n] = slow
    y[0, _FAST_BEFORE : _FAST_BEFORE + fast_rows] = fast
    return x, y, np.empty(n)


@njit
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for i in range(target.size):
        target[i] = source[i]


@njit
def _wrap_slow(x: np.ndarray) -> None:
    """Fill in the neighbours on the ring of a state's slow variables, in place."""
    n = x.size - (_SLOW_BEFORE + _SLOW_AFTER) * MEMBERS
    for i in range(_START):
        x[i] = x[i + n]
    for i in range(_START, _START + _SLOW_AFTER * MEMBERS):
        x[i + n] = x[i]


@njit
def _wrap_fast(y: np.ndarray) -> None:
    """Fill in the neighbours on the ring of a state's fast variables, in place."""
    n = y.shape[1]
    first, end = _layers(y)
    # Before the first of a sector stands the last of the sector before; after the last, the first
    # two of the sector after.
    _copy(y[end - 1][: n - MEMBERS], y[first - 1][MEMBERS:])
    _copy(y[end - 1][n - MEMBERS :], y[first - 1][:MEMBERS])
    for j in range(_FAST_AFTER):
        _copy(y[first + j][MEMBERS:], y[end + j][: n - MEMBERS])
        _copy(y[first + j][:MEMBERS], y[end + j][n - MEMBERS :])


@njit
def _slow_stage(
    x: np.ndarray,
    base: np.ndarray,
    out: np.ndarray,
    forcing: np.ndarray,
    damping: float,
    ahead: float,
) -> None:
    """Set ``out`` to ``base`` + ``ahead`` times the slope of the slow variables ``x``."""
    _wrap_slow(x)
    for i in range(forcing.size):
        here = i + _START
        slope = _fused(-damping, x[here], forcing[i])
        slope = _fused(x[i + MEMBERS], x[i + _START + MEMBERS] - x[i], slope)
        out[here] = _fused(ahead, slope, base[here])


@njit
def _fast_stage(
    before: np.ndarray,
    here: np.ndarray,
    after: np.ndarray,
    two_after: np.ndarray,
    driven: np.ndarray,
    decay: np.ndarray,
    advection: np.ndarray,
    base: np.ndarray,
    out: np.ndarray,
    ahead: float,
) -> None:
    # With one more array in this loop, the compiler would not check all of them for overlap, and
    # would not vectorise.
    for i in range(out.size):
        slope = _fused(-decay[i], here[i], driven[i])
        slope = _fused(-advection[i], after[i] * (two_after[i] - before[i]), slope)
        out[i] = _fused(ahead, slope, base[i])


@njit
def _multiply(first: np.ndarray, second: np.ndarray, product: np.ndarray) -> None:
    for i in range(product.size):
        product[i] = first[i] * second[i]


@njit
def _forcing_with_feedback(y: np.ndarray, coefficients: np.ndarray, forcing: np.ndarray) -> None:
    first, end = _layers(y)
    _copy(y[first], forcing)
    for j in range(first + 1, end):
        layer = y[j]
        for i in range(forcing.size):
            forcing[i] += layer[i]
    alone, feedback = coefficients[_FORCING], coefficients[_FEEDBACK]
    share = 1.0 / (end - first)
    for i in range(forcing.size):
        forcing[i] = _fused(-feedback[i], share * forcing[i], alone[i])


@njit
def _both_stages(
    x: np.ndarray,
    y: np.ndarray,
    base_x: np.ndarray,
    base_y: np.ndarray,
    out_x: np.ndarray,
    out_y: np.ndarray,
    scratch: np.ndarray,
    coefficients: np.ndarray,
    damping: float,
    ahead: float,
) -> None:
    """Set ``out`` to ``base`` + ``ahead`` times the slope of the state (x, y)."""
    _wrap_fast(y)
    _forcing_with_feedback(y, coefficients, scratch)
    _slow_stage(x, base_x, out_x, scratch, damping, ahead)
    _multiply(coefficients[_DRIVE], _slow_part(x), scratch)
    decay, advection = coefficients[_DECAY], coefficients[_ADVECTION]
    start, end = _layers(y)
    for j in range(start, end):
        _fast_stage(
            y[j - 1],
            y[j],
            y[j + 1],
            y[j + 2],
            scratch,
            decay,
            advection,
            base_y[j],
            out_y[j],
            ahead,
        )


@njit
def _combine(start: np.ndarray, first: np.ndarray, second: np.ndarray, third: np.ndarray) -> None:
    share = 1.0 / 3.0  # a product: divisions are slow
    for i in range(start.size):
        second[i] = share * (_fused(2.0, second[i], first[i] - start[i]) + third[i])


@njit
def _run(
    x: np.ndarray,
    y: np.ndarray,
    scratch: np.ndarray,
    coefficients: np.ndarray,
    damping: float,
    time_step: float,
    steps: int,
    now: int,
) -> int:
    """Make Runge-Kutta steps from the state with index ``now``, 0 or 1; return the last index.

    With the stages s_1 = u + dt/2 f(u), s_2 = u + dt/2 f(s_1), s_3 = u + dt f(s_2), a step is
    u + dt/6 (f(u) + 2 f(s_1) + 2 f(s_2) + f(s_3)) = (s_1 + 2 s_2 + s_3 - u) / 3 + dt/6 f(s_3),
    which needs no slopes to be kept.
    """
    # Views are taken here, once: each costs as much as some loops of a stage.
    x_u, x_1, x_2, x_3 = x[now], x[1 - now], x[2], x[3]
    y_u, y_1, y_2, y_3 = y[now], y[1 - now], y[2], y[3]
    forcing, (start, end) = coefficients[_FORCING], _layers(y_u)
    half, sixth = time_step / 2, time_step / 6
    if start == end:
        for _ in range(steps):
            _slow_stage(x_u, x_u, x_1, forcing, damping, half)
            _slow_stage(x_1, x_u, x_2, forcing, damping, half)
            _slow_stage(x_2, x_u, x_3, forcing, damping, time_step)
            _combine(x_u, x_1, x_2, x_3)
            _slow_stage(x_3, x_2, x_1, forcing, damping, sixth)
            x_u, x_1 = x_1, x_u
        return (now + steps) % 2
    for _ in range(steps):
        _both_stages(x_u, y_u, x_u, y_u, x_1, y_1, scratch, coefficients, damping, half)
        _both_stages(x_1, y_1, x_u, y_u, x_2, y_2, scratch, coefficients, damping, half)
        _both_stages(x_2, y_2, x_u, y_u, x_3, y_3, scratch, coefficients, damping, time_step)
        _combine(x_u, x_1, x_2, x_3)
        for j in range(start, end):
            _combine(y_u[j], y_1[j], y_2[j], y_3[j])
        _both_stages(x_3, y_3, x_2, y_2, x_1, y_1, scratch, coefficients, damping, sixth)
        x_u, x_1, y_u, y_1 = x_1, x_u, y_1, y_u
    return (now + steps) % 2


@njit
def advance_block(
    slow: np.ndarray,
    fast: np.ndarray,
    coefficients: np.ndarray,
    time_step: float,
    steps: int,
    damping: float,
) -> tuple:
    """Return a block's rows of slow and fast variables after ``steps`` steps."""
    x, y, scratch = _allocate(slow, fast)
    end = _run(x, y, scratch, coefficients, damping, time_step, steps, 0)
    return _slow_part(x[end]), y[end, _FAST_BEFORE : y.shape[1] - _FAST_AFTER]


@njit
def _measure(x: np.ndarray, y: np.ndarray, fields: np.ndarray) -> None:
    """Set the fields at each place, shape (n_fields, K MEMBERS), from a state."""
    slow = _slow_part(x)
    fields[_X, :] = slow
    start, end = _layers(y)
    if start == end:
        return
    _wrap_fast(y)
    fields[_Y:, :] = 0.0
    share = 1.0 / (end - start)
    for j in range(start, end):
        for i in range(slow.size):
            fields[_Y, i] += share * y[j, i]
            fields[_Y_SQUARED, i] += share * y[j, i] ** 2
            fields[_Y_NEIGHBOURS, i] += share * y[j, i] * y[j + 1, i]


@njit
def _add_products(first: np.ndarray, second: np.ndarray, lag: int, total: np.ndarray) -> None:
    """Add the products of two fields (K, MEMBERS) over the ring to ``total`` (MEMBERS,)."""
    variables = first.shape[0]
    for k in range(variables):
        other = (k + lag) % variables
        for m in range(MEMBERS):
            total[m] += first[k, m] * second[other, m]


@njit
def window_averages(
    slow: np.ndarray,
    fast: np.ndarray,
    coefficients: np.ndarray,
    products: np.ndarray,
    time_step: float,
    spin_up: int,
    windows: int,
    samples: int,
    sample_every: int,
) -> np.ndarray:
    """Return the averages of a block over successive windows after the spin-up.

    Parameters
    ----------
    slow : ndarray of shape (K MEMBERS,)
        Initial state, as rows of the integrator.
    fast : ndarray of shape (J, K MEMBERS)
    coefficients : ndarray of shape (5, K MEMBERS)
    products : ndarray of int, shape (n_quantities, 3)
        First field, second field and lag of each observable.
    spin_up : int
        Steps before the first window.
    windows : int
        Number of windows.
    samples : int
        Samples in each window.
    sample_every : int
        Steps from sample to sample.

    Returns
    -------
    ndarray of shape (n_quantities, windows, MEMBERS)
    """
    x, y, scratch = _allocate(slow, fast)
    now = _run(x, y, scratch, coefficients, SLOW_DAMPING, time_step, spin_up, 0)
    quantities, variables = len(products), slow.size // MEMBERS
    fields = np.ones((_Y_NEIGHBOURS + 1, slow.size))
    by_place = fields.reshape(len(fields), variables, MEMBERS)
    totals = np.zeros((quantities, windows, MEMBERS))
    for window in range(windows):
        for _ in range(samples):
            now = _run(x, y, scratch, coefficients, SLOW_DAMPING, time_step, sample_every, now)
            _measure(x[now], y[now], fields)
            for q in range(quantities):
                first, second, lag = products[q]
                _add_products(by_place[first], by_place[second], lag, totals[q, window])
    return totals / (samples * variables)
