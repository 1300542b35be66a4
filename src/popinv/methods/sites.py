"""Sites of a federation: their laws, drawn around a study's answer."""

from __future__ import annotations

import numpy as np

from popinv.seeds import generator


def site_laws(
    alpha: np.ndarray, spread: np.ndarray, sites: int, shift: float, seed: int
) -> np.ndarray:
    """Return alpha_s = alpha + shift * spread * u_s with u_s uniform on the sphere, (sites, d)."""
    u = generator(seed, "fedhl/sites").standard_normal((sites, len(alpha)))
    return alpha + shift * spread * u / np.linalg.norm(u, axis=1, keepdims=True)
