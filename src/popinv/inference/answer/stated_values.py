r"""Parameters of a law in the form that users read.

Users read values in the unit of the parameter. A parameter ``z = t(x)`` with x normal of mean m is
stated by its median t(m) and not by m, for example the median ``exp(m)`` of a lognormal parameter.
t increases, so that the ends of an interval for m give the ends of the interval for the median.
Entries without a meaning of their own are left out
(:attr:`popinv.population.laws.base.Law.summarised`).
"""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.population.laws.base import Law
from popinv.population.model import Model
from popinv.population.noise.terms import Noise
from popinv.population.units import Described, law_parameters, noise_parameters

# A system at more scaled median deviations than this is far from all others; and the number of
# systems that are looked at.
_FAR, _LOOKED_AT = 50.0, 20_000


def stated_entries(law: Law) -> np.ndarray:
    """Return the mask (d_alpha,) of the entries that have a meaning of their own."""
    return ~law.of_shape if law.summarised else np.ones(len(law.names), dtype=bool)


def read_names(law: Law) -> tuple[str, ...]:
    """Return the names of all entries, ``x_median`` in place of ``x_mean``."""
    medians = law.medians
    return tuple(
        f"{name.removesuffix('_mean')}_median" if entry in medians else name
        for entry, name in enumerate(law.names)
    )


def read_values(law: Law, natural: np.ndarray) -> np.ndarray:
    """Return all entries as they are read, for natural values (..., d_alpha)."""
    read = np.array(natural, dtype=float)
    for entry, parameter in law.medians.items():
        rows = np.zeros((read[..., entry].size, law.d_z))
        rows[:, parameter] = read[..., entry].ravel()
        bounded = law.bounded(torch.from_numpy(rows))[:, parameter].numpy()
        read[..., entry] = bounded.reshape(read.shape[:-1])
    return read


def named_apart(kind: str, name: str) -> str:
    """Return a name that parameters of law and noise cannot share."""
    return name if kind == "law" or name.startswith("noise_") else f"noise_{name}"


def read_draws(
    model: Model, law: Law, noise: Noise, alpha: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, dict[str, Described]]:
    """Return draws of all parameters (..., n) as users read them, and the parameters in order.

    Parameters
    ----------
    law, noise : Law, Noise
        The families; the noise of one replicate.
    alpha, gamma : ndarray of shape (..., d_alpha), (..., d_gamma)
        Unconstrained.
    """
    shown = stated_entries(law)
    names = tuple(np.array(read_names(law))[shown].tolist())
    told = {
        named_apart(kind, name): described
        for kind, every in (
            ("law", law_parameters(model, names)),
            ("noise", noise_parameters(model, noise.names)),
        )
        for name, described in every.items()
    }
    values = [read_values(law, law.to_natural(alpha))[..., shown], noise.to_natural(gamma)]
    return np.concatenate(values, axis=-1), told


def in_words(problem: Problem, p: np.ndarray, most: int = 6) -> str:
    """Return the first few parameters at p (n_p,), as users read them, in one line."""
    alpha, gamma = problem.split(p)
    law = read_values(problem.law, problem.law.to_natural(alpha))
    noise = problem.noise.to_natural(gamma)
    pairs = [*zip(read_names(problem.law), law, strict=True)]
    pairs += [(f"noise {name}", v) for name, v in zip(problem.noise.names, noise, strict=True)]
    shown = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in pairs]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def farthest_system(problem: Problem) -> str:
    """Return a sentence that names a system far from all others, or an empty string.

    With the median m_j of the observations at entry j and their scaled median deviation s_j, the
    distance of a system is the median of ``|y_j - m_j| / s_j`` over its entries. Data in other
    units lie hundreds of deviations away.
    """
    rows = slice(0, _LOOKED_AT)
    y = np.where(problem.conditions.present[rows], problem.data[rows], np.nan)
    with warnings.catch_warnings():
        # An entry that nobody has, or a system without entries.
        warnings.simplefilter("ignore", RuntimeWarning)
        off = np.abs(y - np.nanmedian(y, axis=0))
        spread = 1.4826 * np.nanmedian(off, axis=0)
        distance = np.nanmedian(np.where(spread > 0, off / spread, np.nan), axis=1)
    if not (distance > _FAR).any():
        return ""
    worst = int(np.nanargmax(distance))
    # Its number here is not that in the table, from which some systems were set aside.
    values = ", ".join(f"{value:.4g}" for value in y[worst][np.isfinite(y[worst])][:3])
    return (
        f"The system with the observations {values}, ... lies {distance[worst]:.3g} median "
        "deviations from the others: are its values in the units of the others? Correct it, or "
        "leave it out"
    )


def as_read(law: Law, dataset: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with the law's parameters as users read them.

    Parameters
    ----------
    dataset : Dataset
        Variables of the dimension ``law_parameter`` whose names begin with ``law`` are natural
        values: ``law``, ``law_lower``, ``law_upper``, ``law_path``. They are converted.
    """
    read = {}
    for key, values in dataset.data_vars.items():
        if str(key).startswith("law") and "law_parameter" in values.dims:
            last = values.transpose(..., "law_parameter")
            read[str(key)] = last.copy(data=read_values(law, last.values)).transpose(*values.dims)
    coordinate = dataset["law_parameter"].variable.copy(data=np.array(read_names(law)))
    named = dataset.assign(read).assign_coords(law_parameter=coordinate)
    return named.isel(law_parameter=np.flatnonzero(stated_entries(law)))


def read_slopes(law: Law, natural: np.ndarray) -> np.ndarray:
    """Return the derivative (d_alpha,) of each entry as it is read in its natural value."""
    step = 1e-5
    ends = [read_values(law, natural + sign * step) for sign in (1, -1)]
    slopes: np.ndarray = (ends[0] - ends[1]) / (2 * step)
    return slopes
