"""Models of the example studies with real data, in torch, which gives their derivatives."""

import numpy as np
import torch


def absorption(z: torch.Tensor, design: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return the concentration after an oral dose, one compartment with first-order absorption.

    c(t) = D ka / (V (ka - k)) (exp(-k t) - exp(-ka t)),  k = CL / V,  D = dose per kg x weight.

    Parameters
    ----------
    z : Tensor of shape (n, 3)
        ka (1/h), V (L), CL (L/h).
    design : Tensor of shape (n, 2)
        Dose (mg/kg) and weight (kg).
    times : ndarray of shape (n_t,)
        Hours after the dose.

    Returns
    -------
    Tensor of shape (n, n_t), mg/L
    """
    ka, volume, clearance = (column[:, None] for column in z.unbind(1))
    dose = (design[:, 0] * design[:, 1])[:, None]
    k, t = clearance / volume, torch.as_tensor(times)
    # (exp(-k t) - exp(-ka t)) / (ka - k) without the quotient 0 / 0 at ka = k and at t = 0.
    difference = (ka - k) * t
    difference = torch.where(difference.abs() < 1e-8, 1e-8, difference)
    ratio = -torch.expm1(-difference) / difference
    return dose * ka / volume * torch.exp(-k * t) * t * ratio


def boluses(z: torch.Tensor, times: np.ndarray, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the concentration after several doses into a vein, one compartment.

    c(t) = sum over doses with t_k <= t of D_k / V exp(-k (t - t_k)),  k = CL / V.

    Parameters
    ----------
    z : Tensor of shape (n, 2)
        CL (L/h) and V (L).
    times : ndarray of shape (m,) or (n, m)
        Hours, of all infants or of each.
    inputs : dict of str to Tensor of shape (n, K)
        ``time`` (h) and ``amount`` (mg) of the doses. Beyond the doses of an infant the amount is
        zero.

    Returns
    -------
    Tensor of shape (n, m), mg/L
    """
    clearance, volume = z[:, :1, None], z[:, 1:, None]
    since = torch.as_tensor(times)[..., None] - inputs["time"][:, None]
    # The time that is left out is zero before the exponential, which could overflow.
    left = torch.exp(-clearance / volume * since.clamp(min=0.0))
    given = torch.where(since >= 0, inputs["amount"][:, None], 0.0)
    return (given / volume * left).sum(dim=2)


def line(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return intercept + slope x age for z (n, 2) at all ages, shape (n, n_t)."""
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)


def logistic(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return logistic growth A / (1 + exp((m - t) / s)) for z (n, 3) at all times, shape (n, n_t).

    The columns of z are the asymptote A, the time m of half of it, and the time scale s.
    """
    asymptote, middle, scale = (column[:, None] for column in z.unbind(1))
    return asymptote * torch.sigmoid((torch.as_tensor(times) - middle) / scale)


def constant(z: torch.Tensor) -> torch.Tensor:
    """Return the parameter itself, shape (n, 1)."""
    return z[:, :1]
