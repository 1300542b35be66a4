"""Checks on the contract of noise families, at the start of a study with the user's own."""

from __future__ import annotations

import numpy as np
import torch

from popinv.errors import ConfigError
from popinv.forward.base import Observations
from popinv.population.contract import check_derivatives, check_names
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.section import NoiseSection
from popinv.sections.outside import demand, in_users_code

_TOLERANCE = 1e-6


def check_noise(section: NoiseSection, observations: Observations) -> None:
    """Check the noise model that a section gives, at the start of the descent.

    Parameters
    ----------
    observations : Observations
        The places and times that the noise is over.

    Raises
    ------
    ConfigError
        The message states what the noise model does, and what it has to do.
    """
    with in_users_code("noise"):
        noise = section.noise(observations)
    base = f"{NoiseModel.__module__}.{NoiseModel.__name__}"
    demand(isinstance(noise, NoiseModel), f"'noise' returned {noise!r}, but it must be a {base}")
    gamma = _check_parameters(section, noise, len(observations))
    covariance = _check_covariance(noise, gamma)
    with in_users_code("covariance"):
        check_derivatives("covariance", noise.covariance, gamma, noise.names)
    _check_roots(noise, gamma, covariance)
    with in_users_code("penalty"):
        penalty = noise.penalty(gamma)
    demand(
        penalty.ndim == 0 and bool(torch.isfinite(penalty)), "'penalty' must return a finite number"
    )


def _check_parameters(section: NoiseSection, noise: NoiseModel, count: int) -> torch.Tensor:
    """Check names and values; return unconstrained gamma at the start."""
    names = check_names("noise model", noise, ("names", "d_y"))
    demand(
        noise.d_y == count,
        f"the noise model's 'd_y' is {noise.d_y}, but there are {count} "
        "observations of each system",
    )
    demand(
        noise.unrestricted == section.unrestricted,
        f"the noise model's 'unrestricted' is {noise.unrestricted}, but that of its section is "
        f"{section.unrestricted}",
    )
    for attribute in ("correlations", "scale"):
        with in_users_code(attribute):
            length = len(getattr(noise, attribute))
        demand(
            length == len(names),
            f"'{attribute}' has {length} entries, but the noise has {len(names)} parameters",
        )
    demand(bool(np.all(noise.scale > 0)), "'scale' must be positive")
    try:
        gamma = np.asarray(noise.from_natural(section.start.model_dump()), dtype=float)
    except ValueError as error:
        raise ConfigError(f"'from_natural' refuses the values of 'start': {error}") from error
    with in_users_code("to_natural"):
        natural = dict(zip(names, np.asarray(noise.to_natural(gamma)).tolist(), strict=True))
        again = noise.from_natural(natural)
    demand(
        gamma.shape == (len(names),) and np.allclose(again, gamma, rtol=1e-9, atol=1e-9),
        "'from_natural' does not undo 'to_natural'",
    )
    return torch.from_numpy(gamma)


def _check_covariance(noise: NoiseModel, gamma: torch.Tensor) -> torch.Tensor:
    with in_users_code("covariance"):
        covariance = noise.covariance(gamma)
    shape = (noise.d_y, noise.d_y)
    demand(
        isinstance(covariance, torch.Tensor)
        and tuple(covariance.shape) == shape
        and covariance.dtype == torch.float64,
        f"'covariance' must return a tensor of float64 and shape {shape}, but it returned "
        f"{tuple(np.shape(covariance))}",
    )
    demand(bool(torch.isfinite(covariance).all()), "'covariance' is not finite")
    size = float(covariance.abs().max())
    demand(
        torch.allclose(covariance, covariance.T, rtol=0, atol=1e-12 * size),
        "'covariance' is not symmetric",
    )
    smallest = float(torch.linalg.eigvalsh(covariance)[0])
    demand(
        smallest > 0,
        f"'covariance' is not positive definite at the start: its smallest eigenvalue is "
        f"{smallest:.3g}",
    )
    return covariance


def _check_roots(noise: NoiseModel, gamma: torch.Tensor, covariance: torch.Tensor) -> None:
    """Check the factor, the samples and the whitening against the covariance."""
    eye = torch.eye(noise.d_y, dtype=torch.float64)
    size = float(covariance.abs().max())
    with in_users_code("cholesky"):
        factor = noise.cholesky(gamma)
    demand(
        torch.allclose(factor @ factor.T, covariance, rtol=0, atol=_TOLERANCE * size)
        and torch.equal(torch.tril(factor), factor),
        "'cholesky' is not the lower triangular factor of 'covariance'",
    )
    with in_users_code("sample"):
        samples = noise.sample(gamma, eye)
    demand(
        samples.shape == eye.shape
        and torch.allclose(samples.T @ samples, covariance, rtol=0, atol=_TOLERANCE * size),
        "'sample' does not have the covariance of 'covariance'",
    )
    with in_users_code("whiten"):
        whitened = noise.whiten(gamma, eye)
    demand(
        whitened.shape == eye.shape
        and torch.allclose(whitened.T @ covariance @ whitened, eye, rtol=0, atol=_TOLERANCE),
        "'whiten' does not make the noise's covariance the identity",
    )
