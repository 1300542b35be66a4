"""Checks on the contract of laws, at the start of a study whose law is the user's own."""

from __future__ import annotations

import numpy as np
import torch

from popinv.forward.section import ForwardSection
from popinv.population.contract import check_derivatives, check_names
from popinv.population.laws.base import Law
from popinv.population.laws.section import LawSection
from popinv.sections.outside import demand, in_users_code

_ROWS = 4


def check_law(section: LawSection, forward: ForwardSection) -> None:
    """Check the law that a section gives, at the start of the descent.

    Parameters
    ----------
    forward : ForwardSection
        The forward model whose parameters the law is of.

    Raises
    ------
    ConfigError
        The message states what the law does, and what it has to do.
    """
    with in_users_code("law"):
        law = section.law(forward)
    base = f"{Law.__module__}.{Law.__name__}"
    demand(isinstance(law, Law), f"'law' returned {law!r}, but it must be a {base}")
    alpha = _check_parameters(section, law, forward)
    omega = torch.from_numpy(np.random.default_rng(0).standard_normal((_ROWS, law.d_omega)))
    z = _check_sample(law, alpha, omega)
    with in_users_code("sample"):
        check_derivatives("sample", lambda a: law.sample(a, omega), alpha, law.names)
    _check_coordinates(law, z)
    if section.has_density:
        _check_density(law, alpha, z)


def _check_parameters(section: LawSection, law: Law, forward: ForwardSection) -> torch.Tensor:
    """Check names and values; return unconstrained alpha at the start."""
    names = check_names("law", law, ("names", "positive", "d_omega", "d_z"))
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
