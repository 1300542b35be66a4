r"""Size and power of the test of added systems, on straight lines whose scores are exact.

    python -m benchmarks.addition_size            # writes docs/tables/data/additions_size.csv

A system is a straight line with normal intercept and slope, at six places, through noise whose
correlation falls exponentially. With the covariance :math:`\Sigma` of an observation, the mean
:math:`X \mu` and the residual :math:`r`, the scores are

.. math:: X^T \Sigma^{-1} r, \qquad \tfrac12 \bigl(r^T \Sigma^{-1} (\partial_i \Sigma) \Sigma^{-1} r
    - \operatorname{tr} \Sigma^{-1} \partial_i \Sigma\bigr) .

Each batch has an answer of 200 systems with an error of its own. The rows state the share of the
batches whose p-value is below 5 %, with the standard error of the share.
"""

from __future__ import annotations

from benchmarks.machine import confine

if __name__ == "__main__":
    confine()

import numpy as np

from benchmarks.measured_rows import write_rows
from popinv.additions.batch_test import PARTS, batch_test

PLACES = np.linspace(0.0, 1.0, 6)
DESIGN = np.column_stack([np.ones(6), PLACES])
# Means, logarithms of the deviations, logarithms of the noise's amplitude and length.
TRUTH = np.array([1.0, -0.5, np.log(0.8), np.log(0.5), np.log(0.3), np.log(0.2)])
SYSTEMS, SIMULATED, LEVEL = 200, 400, 0.05
# Added systems, what they are of, how their p differs, and the batches.
CASES = (
    *((count, "the population", np.zeros(6), 4000) for count in (1, 5, 20)),
    (20, "a mean higher by one deviation", np.array([0.8, 0, 0, 0, 0, 0]), 1000),
    (20, "noise louder by a factor 1.8", np.array([0, 0, 0, 0, np.log(1.8), 0]), 1000),
)


def _parts(p: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the covariance of an observation (6, 6), and its derivatives along p[2:]."""
    deviations, (amplitude, length) = np.exp(p[2:4]), np.exp(p[4:])
    apart = np.abs(PLACES[:, None] - PLACES)
    noise = amplitude**2 * np.exp(-apart / length)
    of_law = [
        s**2 * np.outer(column, column) for s, column in zip(deviations, DESIGN.T, strict=True)
    ]
    slopes = [2 * each for each in of_law]
    return sum(of_law) + noise, [*slopes, 2 * noise, noise * apart / length]


def drawn(p: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return observations of systems, (count, 6)."""
    return DESIGN @ p[:2] + rng.standard_normal((count, 6)) @ np.linalg.cholesky(_parts(p)[0]).T


def scores(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the derivatives of log p(y_n) along p, (n, 6)."""
    covariance, slopes = _parts(p)
    inverse = np.linalg.inv(covariance)
    white = (y - DESIGN @ p[:2]) @ inverse
    quadratic = [np.einsum("ni,ij,nj->n", white, slope, white) for slope in slopes]
    traces = [np.trace(inverse @ slope) for slope in slopes]
    of_covariance = [(q - t) / 2 for q, t in zip(quadratic, traces, strict=True)]
    return np.column_stack([white @ DESIGN, *of_covariance])


def p_values(count: int, change: np.ndarray, batches: int) -> np.ndarray:
    """Return the p-values (batches, 3) of added systems whose p differs by a change."""
    far = scores(drawn(TRUTH, 100_000, np.random.default_rng(1)), TRUTH)
    covariance = np.linalg.inv(SYSTEMS * far.T @ far / len(far))
    half, rng = np.linalg.cholesky(covariance), np.random.default_rng([count, int(change.any())])
    found = []
    for batch in range(batches):
        answer = TRUTH + half @ rng.standard_normal(6)
        added, pool = drawn(TRUTH + change, count, rng), drawn(answer, SIMULATED, rng)
        tested = batch_test(scores(added, answer), scores(pool, answer), covariance, 4, batch)
        found.append(tested.p_value)
    return np.array(found)


def main() -> None:
    """Write the table."""
    rows = []
    for count, what, change, batches in CASES:
        share = (p_values(count, change, batches) < LEVEL).mean(axis=0)
        error = np.sqrt(share * (1 - share) / batches)
        cells = {
            f"{part}, %": f"{100 * s:.1f} ± {100 * e:.1f}"
            for part, s, e in zip(PARTS, share, error, strict=True)
        }
        rows.append({"added": count, "of": what, "batches": batches, **cells})
        print(rows[-1], flush=True)
    write_rows("additions_size", rows)


if __name__ == "__main__":
    main()
