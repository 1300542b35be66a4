"""Constants of learning whose guarantees are computed: of a published experiment, and of a few."""

from __future__ import annotations

from popinv.methods.certificate.accountant import Setting

N = 11_264
DELTA = 1 / N


def mnist(batch: int, n: int = N, smooth: float | None = None) -> Setting:
    """Return the constants of threes against eights."""
    strong = 1e-6 * n
    smooth = smooth or 0.25 + strong
    return Setting(n, batch, 1 / smooth, strong, smooth, 1.0, 100.0)


def small(batch: int = 4, **changes) -> Setting:
    """Return the constants of 12 records."""
    return Setting(**{
        "n": 12, "batch": batch, "rate": 0.8, "strong": 0.1, "smooth": 1.2, "lipschitz": 1.0,
    } | changes)  # fmt: skip
