r"""Features of random fields that reveal mistakes of their law.

The law of a field gives each cosine j a coefficient with a standard normal number omega_j. The
observations determine a share of it, the variance of its posterior mean over the systems,

.. math:: d_j = \operatorname{Var}_n E[\omega_j \mid y_n].

Cosines of which they determine little have no features, and the others count by their share. With
B the cosines whose wave number lies between 2^b and 2^(b + 1), and with the field at a place x in
units of its deviation, :math:`w(x) = \sum_j c_j(x) \omega_j`, where c_j is proportional to d_j, the
deviation of the coefficient and the cosine, each feature is the posterior mean of

===========================  ==============================================================
energy in a band             :math:`\tfrac12 \sum_{j \in B} d_j (\omega_j^2 - 1)`
mean of a cosine             :math:`\omega_j`
size from system to system   :math:`\tfrac12 ((\sum_j d_j (\omega_j^2 - 1))^2
                             - 2 \sum_j d_j^2 \omega_j^2)`
correlation of neighbours    :math:`\sum d_j d_k \omega_j \omega_k` over neighbours in k-space
skewness, kurtosis           means of :math:`\mathrm{He}_3(w)/6` and
                             :math:`\mathrm{He}_4(w)/24` over places
===========================  ==============================================================

Each is the score of a larger law: other energy in the band, a mean that varies in place, a
deviation that differs from system to system, a field that varies more in one part of the domain,
and a field that is not normal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from popinv.inference.checks.features import Feature, random_number
from popinv.inference.density.problem import Problem
from popinv.late import torch

# Cosines of a smaller share have no features of their own.
_LEAST_SHARE = 0.05
# Largest number of cosines whose means are tested, and the places of a field for each direction.
_MEANS, _PLACES = 4, {1: (0.1, 0.3, 0.5, 0.7, 0.9), 2: (0.15, 0.5, 0.85)}

_SPECTRUM = "another law.smoothness, or more modes of the field"
_MEAN = "a mean of the field that varies in place, in the simulator"
_SIZE = "law.covariates of the field's standard_deviation, if something known explains it"
_PLACE = "a simulator that scales or stretches the field in a part of the domain"
_TRANSFORM = "another transform of the field in the simulator, or forward.field: level_set"


@dataclass(frozen=True)
class FieldCosines:
    """The cosines of the field of a problem at an estimate.

    Attributes
    ----------
    wave_numbers : ndarray of shape (M, dimension)
    amplitudes : ndarray of shape (M,)
        Deviations of their coefficients.
    shares : ndarray of shape (M,)
        Shares d of them that the observations determine; zero where these are small.
    """

    wave_numbers: np.ndarray
    amplitudes: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, problem: Problem, p: np.ndarray, means: np.ndarray) -> FieldCosines | None:
        """Return the cosines, or None without a field.

        Parameters
        ----------
        p : ndarray of shape (n_p,)
        means : ndarray of shape (N, d_omega)
            Posterior means of omega.
        """
        k = problem.law.wave_numbers
        if k is None:
            return None
        with torch.no_grad():
            amplitudes = problem.law.amplitudes(problem.tensors(p)[0]).numpy()
        shares = np.minimum(means[:, : len(k)].var(axis=0), 1.0)
        return cls(k, amplitudes, np.where(shares > _LEAST_SHARE, shares, 0.0))

    @property
    def bands(self) -> Iterator[tuple[str, np.ndarray]]:
        """The bands of wave numbers in words, each with the cosines that count in it."""
        size = np.linalg.norm(self.wave_numbers, axis=1)
        octaves = np.floor(np.log2(size) + 1e-9).astype(int)
        for octave in np.unique(octaves[self.shares > 0]):
            within = np.flatnonzero((octaves == octave) & (self.shares > 0))
            yield f"wave numbers {2**octave} to {2 ** (octave + 1)}", within

    @property
    def neighbours(self) -> np.ndarray:
        """Pairs (n, 2) of cosines that count and are next to each other in one direction."""
        place = {tuple(k): j for j, k in enumerate(self.wave_numbers.tolist())}
        steps = np.eye(self.wave_numbers.shape[1], dtype=int).tolist()
        pairs = [
            (j, place.get(tuple(np.add(k, step).tolist()), -1))
            for (k, j), step in itertools.product(place.items(), steps)
        ]
        kept = [(j, k) for j, k in pairs if k >= 0 and self.shares[j] * self.shares[k] > 0]
        return np.array(kept, dtype=int).reshape(-1, 2)

    @property
    def at_places(self) -> np.ndarray:
        """The coefficients c (places, M) of the field in units of its deviation at places."""
        dimension = self.wave_numbers.shape[1]
        places = np.array(list(itertools.product(_PLACES[dimension], repeat=dimension)))
        cosines = np.cos(np.pi * places[:, None, :] * self.wave_numbers).prod(axis=-1)
        c = cosines * self.amplitudes * self.shares
        return np.asarray(c / np.linalg.norm(c, axis=1, keepdims=True))


def of_field(cosines: FieldCosines | None) -> Iterator[Feature]:
    """Yield the features of a field; none if there is no field, or nothing of it is determined."""
    if cosines is None or not cosines.shares.any():
        return
    shares = torch.from_numpy(cosines.shares)
    for number, (words, within) in enumerate(cosines.bands, start=1):
        told = f"the field has another energy in {words}"
        of = partial(_energy, torch.from_numpy(within), shares[within])
        unit = "change of the logarithm of its variance"
        yield Feature("law", f"band_{number}", told, _SPECTRUM, unit, 0.5, of)
    # Cosines are in the order of their wave numbers.
    for j in np.flatnonzero(cosines.shares)[:_MEANS].tolist():
        name = ", ".join(map(str, cosines.wave_numbers[j]))
        told = f"the mean of the field varies in place (cosine {name})"
        of, unit = partial(random_number, j), "deviations of its coefficient"
        yield Feature("law", f"mean_{j + 1}", told, _MEAN, unit, 0.5, of)
    told = "the standard deviation of the field differs from system to system"
    of, unit = partial(_size, shares), "variance of its logarithm"
    yield Feature("law", "field_size", told, _SIZE, unit, 0.2, of)
    if len(pairs := cosines.neighbours):
        a, b = torch.from_numpy(pairs.T.copy())
        told = "the field varies more in one part of the domain than in another"
        of, unit = partial(_neighbours, a, b, shares[a] * shares[b]), "correlation of cosines"
        yield Feature("law", "field_neighbours", told, _PLACE, unit, 0.3, of)
    c = torch.from_numpy(cosines.at_places)
    told, unit = "the field is skewed", "skewness"
    yield Feature("law", "field_skewness", told, _TRANSFORM, unit, 1.0, partial(_cubes, c))
    told, unit = "the field has other tails than a normal one", "excess kurtosis"
    yield Feature("law", "field_kurtosis", told, _TRANSFORM, unit, 1.5, partial(_fourths, c))


def _energy(
    within: torch.Tensor, d: torch.Tensor, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    return (d * (omega[..., within] ** 2 - 1)).sum(dim=-1) / 2


def _size(d: torch.Tensor, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    squares = omega[..., : len(d)] ** 2
    return ((d * (squares - 1)).sum(dim=-1) ** 2 - 2 * (d**2 * squares).sum(dim=-1)) / 2


def _neighbours(
    a: torch.Tensor,
    b: torch.Tensor,
    d: torch.Tensor,
    omega: torch.Tensor,
    r: torch.Tensor,
    g: torch.Tensor,
) -> torch.Tensor:
    return (d * omega[..., a] * omega[..., b]).sum(dim=-1)


def _cubes(c: torch.Tensor, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    w = omega[..., : c.shape[1]] @ c.T
    return (w**3 - 3 * w).mean(dim=-1) / 6


def _fourths(
    c: torch.Tensor, omega: torch.Tensor, r: torch.Tensor, g: torch.Tensor
) -> torch.Tensor:
    w = omega[..., : c.shape[1]] @ c.T
    return (w**4 - 6 * w**2 + 3).mean(dim=-1) / 24
