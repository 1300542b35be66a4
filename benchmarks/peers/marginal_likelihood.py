"""The template's problem by other means: NUTS on the joint posterior, and quadrature.

The model is ``y = size exp(-rate t) + noise``, with size and rate lognormal and independent and the
noise normal with one deviation. A position is (mean of log size, mean of log rate, log deviations
of both, log deviation of the noise), in the order of the package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

__all__ = ["PLACES", "by_nuts", "by_quadrature", "decay"]

PLACES = np.linspace(0, 4, 10)
# Deviations of the law that the nodes of the quadrature cover.
_REACH = 5.0


def decay(z: torch.Tensor) -> torch.Tensor:
    """Map (size, rate) (n, 2) to the curves at PLACES (n, 10)."""
    return z[:, :1] * torch.exp(-z[:, 1:] * torch.from_numpy(PLACES))


def by_quadrature(data: np.ndarray, start: np.ndarray, nodes: int) -> np.ndarray:
    """Maximise the marginal likelihood, each integral by the same nodes of the law.

    The trapezoidal rule on ``nodes x nodes`` points, which converges geometrically once the points
    are closer than a posterior is wide. Gradients by autograd, steps by L-BFGS.
    """
    line = torch.linspace(-_REACH, _REACH, nodes, dtype=torch.float64)
    omega = torch.cartesian_prod(line, line)
    log_weight = -0.5 * (omega**2).sum(dim=1) + 2 * torch.log(line[1] - line[0])
    log_weight = log_weight - np.log(2 * np.pi)
    rows = torch.from_numpy(data)

    def minus_log_likelihood(p: np.ndarray) -> tuple[float, np.ndarray]:
        position = torch.from_numpy(p.copy()).requires_grad_(True)
        curves = decay(torch.exp(position[:2] + torch.exp(position[2:4]) * omega))
        squares = (rows**2).sum(dim=1)[:, None] + (curves**2).sum(dim=1) - 2 * rows @ curves.T
        log_joint = log_weight - 0.5 * squares * torch.exp(-2 * position[4])
        fit = torch.logsumexp(log_joint, dim=1) - rows.shape[1] * position[4]
        value = -fit.sum()
        (slope,) = torch.autograd.grad(value, position)
        return value.item(), slope.numpy()

    return minimize(minus_log_likelihood, start, jac=True, method="L-BFGS-B").x


def by_nuts(
    data: np.ndarray, start: np.ndarray, warmup: int, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the joint posterior of all systems with NumPyro, in the non-centred form.

    The priors are flat compared with the likelihood: normal, with standard deviation 3, about the
    start.

    Returns
    -------
    ndarray of shape (samples, 5), ndarray of shape (5,)
        Draws, and the effective number of them for each parameter.
    """
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.diagnostics import effective_sample_size
    from numpyro.infer import MCMC, NUTS

    numpyro.enable_x64()

    def model(rows: Any) -> None:
        p = numpyro.sample("p", dist.Normal(jnp.asarray(start), 3.0).to_event(1))
        with numpyro.plate("systems", len(rows)):
            omega = numpyro.sample("omega", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
            size, rate = jnp.exp(p[:2] + jnp.exp(p[2:4]) * omega).T
            curve = size[:, None] * jnp.exp(-rate[:, None] * PLACES)
            numpyro.sample("y", dist.Normal(curve, jnp.exp(p[4])).to_event(1), obs=rows)

    chain = MCMC(NUTS(model), num_warmup=warmup, num_samples=samples, progress_bar=False)
    chain.run(jax.random.PRNGKey(0), jnp.asarray(data))
    draws = np.asarray(chain.get_samples()["p"])
    return draws, np.asarray(effective_sample_size(draws[None]))
