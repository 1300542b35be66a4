"""The contract of laws and noise families, checked at the start of a study with the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from popinv.errors import ConfigError
from popinv.forward.base import Observations
from popinv.forward.section import ForwardSection
from popinv.late import torch
from popinv.population.constraints import Constraint, Parameterised
from popinv.population.laws.base import Law
from popinv.population.laws.section import LawSection
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.section import NoiseSection
from popinv.sections.outside import demand, in_users_code

_STEP = 1e-5
# Tolerances, relative to the largest derivative in a parameter and to the largest value.
_TOLERANCE, _OF_VALUE = 1e-4, 1e-7
# Tolerance of roots of a covariance, relative to its largest entry.
_OF_ROOTS = 1e-6
_ROWS = 4


def check_law(section: LawSection, forward: ForwardSection) -> None:
    """Check the law that a section gives, at the start of the descent.

    Parameters
    ----------
    forward : ForwardSection
        The forward model whose parameters the law describes.

    Raises
    ------
    ConfigError
        The message states what the law returned, and what it must return.
    """
    with in_users_code("law"):
        law = section.law(forward)
    base = f"{Law.__module__}.{Law.__name__}"
    demand(isinstance(law, Law), f"'law' returned {law!r}, but it must be a {base}")
    alpha = _check_law_parameters(section, law, forward)
    omega = torch.from_numpy(np.random.default_rng(0).standard_normal((_ROWS, law.d_omega)))
    z = _check_sample(law, alpha, omega)
    with in_users_code("sample"):
        check_derivatives("sample", lambda a: law.sample(a, omega), alpha, law.names)
    _check_coordinates(law, z)
    if section.has_density:
        _check_density(law, alpha, z)


def _check_law_parameters(section: LawSection, law: Law, forward: ForwardSection) -> torch.Tensor:
    """Check names and values; return unconstrained alpha at the start."""
    names = check_names("law", law, ("names", "positive", "d_omega", "d_z"))
    check_constraints("law", law)
    demand(
        len(law.positive) == len(names),
        f"the law has {len(names)} 'names', but {len(law.positive)} entries of 'positive'",
    )
    width = len(forward.parameter_names())
    demand(
        law.d_z == width,
        f"the law's 'd_z' is {law.d_z}, but the forward model has {width} parameters",
    )
    demand(law.d_omega >= 1, f"the law's 'd_omega' is {law.d_omega}, but it must be at least 1")
    start = section.values(section.start)
    with in_users_code("from_natural"):
        demand(
            set(start) == set(names),
            f"the law's 'names' are {names}, but 'start' has {list(start)}",
        )
        alpha = law.from_natural(start)
    with in_users_code("to_natural"):
        natural = law.to_natural(alpha)
    wanted = [start[name] for name in names]
    demand(
        np.shape(alpha) == (len(names),) and np.allclose(natural, wanted, rtol=1e-9, atol=1e-12),
        f"'to_natural' gives {np.asarray(natural).tolist()} for the unconstrained start, but "
        f"'start' is {wanted}",
    )
    return torch.from_numpy(np.asarray(alpha, dtype=float))


def _check_sample(law: Law, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
    with in_users_code("sample"):
        z = law.sample(alpha, omega)
    shape = (_ROWS, law.d_z)
    demand(
        isinstance(z, torch.Tensor) and tuple(z.shape) == shape and z.dtype == torch.float64,
        f"'sample' must return a tensor of float64 and shape (n, d_z), here {shape}, but it "
        f"returned {_described(z)}",
    )
    demand(bool(torch.isfinite(z).all()), "'sample' returned values that are not finite")
    # Each row may have its own alpha, as in the first design.
    rows = alpha + 0.1 * torch.arange(_ROWS, dtype=alpha.dtype)[:, None]
    with in_users_code("sample"):
        together = law.sample(rows, omega)
        alone = torch.cat([law.sample(rows[i], omega[i : i + 1]) for i in range(_ROWS)])
    demand(
        together.shape == alone.shape and torch.allclose(together, alone, rtol=1e-9, atol=1e-12),
        "'sample' must also take an alpha of shape (n, d_alpha), one for each row of omega, and "
        "agree with the results row by row; index it as alpha[..., i]",
    )
    if law.affine:
        with in_users_code("sample"):
            middle = law.sample(alpha, (omega[:1] + omega[1:2]) / 2)
        demand(
            torch.allclose(middle, (z[:1] + z[1:2]) / 2, rtol=1e-8, atol=1e-10),
            "the law is marked 'affine', but its sample is not an affine function of omega",
        )
    return z


def _check_coordinates(law: Law, z: torch.Tensor) -> None:
    with in_users_code("logarithmic"):
        marked = len(law.logarithmic)
    demand(
        marked == law.d_z, f"'logarithmic' has {marked} entries, but there are {law.d_z} parameters"
    )
    with in_users_code("unbounded"):
        back = law.bounded(law.unbounded(z))
    demand(
        back.shape == z.shape and torch.allclose(back, z, rtol=1e-9, atol=1e-12),
        "'bounded' does not undo 'unbounded'",
    )


def _check_density(law: Law, alpha: torch.Tensor, z: torch.Tensor) -> None:
    try:
        with in_users_code("log_density"):
            density = law.log_density(alpha, z)
    except Exception as error:
        demand(
            not isinstance(error.__cause__, NotImplementedError),
            "the law has no 'log_density'; define it, or set 'has_density = False' in its section",
        )
        raise
    demand(
        tuple(density.shape) == (len(z),) and bool(torch.isfinite(density).all()),
        f"'log_density' must return a finite number for each row, here {len(z)}, but it returned "
        f"{_described(density)}",
    )


def _described(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} and {tuple(value.shape)}"
    return f"a value of type {type(value).__name__}"


def check_noise(section: NoiseSection, observations: Observations) -> None:
    """Check the noise model that a section gives, at the start of the descent.

    Parameters
    ----------
    observations : Observations
        The places and times of the noise.

    Raises
    ------
    ConfigError
        The message states what the noise model returned, and what it must return.
    """
    with in_users_code("noise"):
        noise = section.noise(observations)
    base = f"{NoiseModel.__module__}.{NoiseModel.__name__}"
    demand(isinstance(noise, NoiseModel), f"'noise' returned {noise!r}, but it must be a {base}")
    gamma = _check_noise_parameters(section, noise, len(observations))
    covariance = _check_covariance(noise, gamma)
    with in_users_code("covariance"):
        check_derivatives("covariance", noise.covariance, gamma, noise.names)
    _check_roots(noise, gamma, covariance)
    with in_users_code("penalty"):
        penalty = noise.penalty(gamma)
    demand(
        penalty.ndim == 0 and bool(torch.isfinite(penalty)), "'penalty' must return a finite number"
    )


def _check_noise_parameters(section: NoiseSection, noise: NoiseModel, count: int) -> torch.Tensor:
    """Check names and values; return unconstrained gamma at the start."""
    names = check_names("noise model", noise, ("names", "d_y"))
    check_constraints("noise model", noise)
    demand(
        noise.d_y == count,
        f"the noise model's 'd_y' is {noise.d_y}, but there are {count} "
        "observations of each system",
    )
    demand(
        noise.unrestricted == section.unrestricted,
        f"the noise model's 'unrestricted' is {noise.unrestricted}, but its section states "
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
        torch.allclose(factor @ factor.T, covariance, rtol=0, atol=_OF_ROOTS * size)
        and torch.equal(torch.tril(factor), factor),
        "'cholesky' is not the lower triangular factor of 'covariance'",
    )
    with in_users_code("sample"):
        samples = noise.sample(gamma, eye)
    demand(
        samples.shape == eye.shape
        and torch.allclose(samples.T @ samples, covariance, rtol=0, atol=_OF_ROOTS * size),
        "'sample' does not have the covariance of 'covariance'",
    )
    with in_users_code("whiten"):
        whitened = noise.whiten(gamma, eye)
    demand(
        whitened.shape == eye.shape
        and torch.allclose(whitened.T @ covariance @ whitened, eye, rtol=0, atol=_OF_ROOTS),
        "'whiten' does not make the noise's covariance the identity",
    )


def check_names(subject: str, model: Any, attributes: Sequence[str]) -> list[str]:
    """Return the names of a model's parameters, after a check that they can serve as names.

    Parameters
    ----------
    subject : str
        The model in words, for the messages.
    model : Law or NoiseModel
    attributes : sequence of str
        Attributes that the model must have.

    Raises
    ------
    ConfigError
        If an attribute is missing, or if names are empty, not text, or equal.
    """
    for attribute in attributes:
        demand(hasattr(model, attribute), f"the {subject} has no attribute '{attribute}'")
    names = list(model.names)
    demand(
        bool(names) and all(isinstance(name, str) and name for name in names),
        f"the {subject}'s 'names' are {model.names!r}, but they must be names, at least one",
    )
    demand(
        len(set(names)) == len(names),
        f"the {subject}'s 'names' are {names}, but no two may be equal",
    )
    return names


def check_constraints(subject: str, model: Parameterised) -> None:
    """Check that a model that states constraints has one for each of its parameters.

    Raises
    ------
    ConfigError
        If the numbers differ, or if a constraint is not from :mod:`popinv.population.constraints`.
    """
    if model.states_flags:
        return
    count, stated = len(model.names), list(model.constraints)
    demand(
        len(stated) == count,
        f"the {subject} has {count} 'names', but {len(stated)} entries of 'constraints'",
    )
    for each in stated:
        demand(
            isinstance(each, Constraint),
            f"the {subject}'s 'constraints' hold {each!r}, but each must be one of "
            f"{Constraint.__module__}, such as POSITIVE",
        )


def check_derivatives(
    name: str,
    function: Callable[[torch.Tensor], torch.Tensor],
    at: torch.Tensor,
    parameters: Sequence[str],
) -> None:
    """Compare the Jacobian of a function with central differences.

    Parameters
    ----------
    name : str
        The function's name, for the message.
    function : callable
        Maps unconstrained parameters (k,) to a tensor.
    at : Tensor of shape (k,)
    parameters : sequence of str, length k
        Names of the parameters.

    Raises
    ------
    ConfigError
        If torch gives no derivative, or another one.
    """
    values = function(at.clone().requires_grad_(True))
    advice = (
        "Compute with tensors of torch throughout, without numpy, detach(), item() or "
        "torch.tensor(...) of a parameter."
    )
    demand(
        values.requires_grad,
        f"'{name}' cannot be differentiated in its parameters. {advice}",
    )
    jacobian = torch.autograd.functional.jacobian(function, at).reshape(-1, len(at))
    demand(bool(torch.isfinite(jacobian).all()), f"the derivatives of '{name}' are not all finite")
    for i, parameter in enumerate(parameters):
        step = torch.zeros_like(at)
        step[i] = _STEP * max(1.0, abs(float(at[i])))
        change = ((function(at + step) - function(at - step)) / (2 * step[i])).reshape(-1)
        largest = float(torch.maximum(change.abs(), jacobian[:, i].abs()).max())
        gaps = (change - jacobian[:, i]).abs()
        worst = int(gaps.argmax())
        demand(
            float(gaps[worst])
            <= _TOLERANCE * largest + _OF_VALUE * float(values.detach().abs().max()),
            f"the derivative of '{name}' in '{parameter}' is {float(jacobian[worst, i]):.4g} by "
            f"torch, but {float(change[worst]):.4g} by differences. {advice}",
        )
