r"""Constraints of numbers, and models whose parameters have them.

Inference takes place on the real line. A number x with a constraint is ``x = t(u)``, with t
increasing and u any real number:

========================  =====================================  =========
constraint                t(u)                                   scale
========================  =====================================  =========
:data:`REAL`              u
:data:`POSITIVE`          exp(u)                                 log
:class:`Above`            low + exp(u)                           log
:class:`Interval`         low + (high - low) / (1 + exp(-u))     logit
:data:`CORRELATION`       tanh(u)                                atanh
========================  =====================================  =========

The table holds for the parameters of laws and of noise, whose u are the entries of alpha and gamma,
and for the parameters z of a system, whose u are normal under a Gaussian law. The constraint
determines which values have no unit, which are logarithms, and both directions of the map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
from scipy.special import expit, logit

from popinv.late import torch
from popinv.population.correlation_matrix import CorrelationMatrix

Numbers = TypeVar("Numbers", np.ndarray, "torch.Tensor")


def _either(of_array: Callable[[Any], Any], of_tensor: str) -> Callable[[Numbers], Numbers]:
    """Return a function of arrays, and of tensors by torch's function of a name."""
    return lambda x: of_array(x) if isinstance(x, np.ndarray) else getattr(torch, of_tensor)(x)


_exp, _log = _either(np.exp, "exp"), _either(np.log, "log")
_tanh, _arctanh = _either(np.tanh, "tanh"), _either(np.arctanh, "arctanh")
_expit, _logit = _either(expit, "sigmoid"), _either(logit, "logit")


@dataclass(frozen=True)
class Constraint:
    """An open interval of numbers, and its map t from the real line; here all real numbers.

    Attributes
    ----------
    scale : str
        The name of the inverse of t, empty where numbers are left as they are.
    """

    scale: ClassVar[str] = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval."""
        return -math.inf, math.inf

    @property
    def domain(self) -> str:
        """The condition on a number, in words."""
        return "be a number"

    def bounded(self, u: Numbers) -> Numbers:
        """Return t(u), entry by entry."""
        return u

    def unbounded(self, x: Numbers) -> Numbers:
        """Return the u with t(u) = x."""
        return x

    def log_slope(self, u: torch.Tensor) -> torch.Tensor:
        """Return log t'(u)."""
        return torch.zeros_like(u)

    def holds(self, x: float) -> bool:
        """Return whether a number is in the interval."""
        return True


class _Positive(Constraint):
    scale = "log"

    @property
    def ends(self) -> tuple[float, float]:
        return 0.0, math.inf

    @property
    def domain(self) -> str:
        return "be positive"

    def bounded(self, u: Numbers) -> Numbers:
        return _exp(u)

    def unbounded(self, x: Numbers) -> Numbers:
        return _log(x)

    def log_slope(self, u: torch.Tensor) -> torch.Tensor:
        return u

    def holds(self, x: float) -> bool:
        return x > 0


@dataclass(frozen=True)
class Above(Constraint):
    """Numbers that are larger than ``low``."""

    low: float
    scale: ClassVar[str] = "log"

    @property
    def ends(self) -> tuple[float, float]:
        """Low and infinity."""
        return self.low, math.inf

    @property
    def domain(self) -> str:
        """The condition on a number, in words."""
        return f"be larger than {self.low:g}"

    def bounded(self, u: Numbers) -> Numbers:
        """Return low + exp(u)."""
        return self.low + _exp(u)

    def unbounded(self, x: Numbers) -> Numbers:
        """Return log(x - low)."""
        return _log(x - self.low)

    def log_slope(self, u: torch.Tensor) -> torch.Tensor:
        """Return u."""
        return u

    def holds(self, x: float) -> bool:
        """Return whether x is larger than ``low``."""
        return x > self.low


@dataclass(frozen=True)
class Interval(Constraint):
    """Numbers between ``low`` and ``high``."""

    low: float
    high: float
    scale: ClassVar[str] = "logit"

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high."""
        return self.low, self.high

    @property
    def domain(self) -> str:
        """The condition on a number, in words."""
        return f"lie between {self.low:g} and {self.high:g}, both left out"

    def bounded(self, u: Numbers) -> Numbers:
        """Return low + (high - low) / (1 + exp(-u))."""
        return self.low + (self.high - self.low) * _expit(u)

    def unbounded(self, x: Numbers) -> Numbers:
        """Return the logit of (x - low) / (high - low)."""
        return _logit((x - self.low) / (self.high - self.low))

    def log_slope(self, u: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the density of the logistic law, times the length."""
        width = torch.log(torch.as_tensor(self.high - self.low, dtype=u.dtype))
        logistic = torch.nn.functional.logsigmoid
        return width + logistic(u) + logistic(-u)

    def holds(self, x: float) -> bool:
        """Return whether x is between the ends."""
        return self.low < x < self.high


class _Correlation(Constraint):
    scale = "atanh"

    @property
    def ends(self) -> tuple[float, float]:
        return -1.0, 1.0

    @property
    def domain(self) -> str:
        return "lie between -1 and 1, both left out"

    def bounded(self, u: Numbers) -> Numbers:
        return _tanh(u)

    def unbounded(self, x: Numbers) -> Numbers:
        return _arctanh(x)

    def log_slope(self, u: torch.Tensor) -> torch.Tensor:
        # log(1 - tanh^2) without cancellation.
        return -2 * torch.nn.functional.softplus(2 * u) + 2 * (u + np.log(2.0))

    def holds(self, x: float) -> bool:
        return -1 < x < 1


REAL, POSITIVE, CORRELATION = Constraint(), _Positive(), _Correlation()
SHARE = Interval(0.0, 1.0)


def entrywise(
    constraints: Sequence[Constraint], values: np.ndarray, *, inverse: bool = False
) -> np.ndarray:
    """Return t(u) for u of shape (..., n), each entry by its constraint; or the inverse."""
    values = np.asarray(values, dtype=float)
    mapped = values.copy()
    for each in dict.fromkeys(constraints):
        own = [i for i, constraint in enumerate(constraints) if constraint == each]
        mapped[..., own] = (each.unbounded if inverse else each.bounded)(values[..., own])
    return mapped


def columns_bounded(constraints: Sequence[Constraint], u: torch.Tensor) -> torch.Tensor:
    """Return t(u) for u of shape (..., n), column by column, which torch differentiates."""
    if len(set(constraints)) == 1:
        return constraints[0].bounded(u)
    columns = zip(constraints, u.unbind(dim=-1), strict=True)
    return torch.stack([each.bounded(column) for each, column in columns], dim=-1)


def columns_unbounded(constraints: Sequence[Constraint], x: torch.Tensor) -> torch.Tensor:
    """Undo :func:`columns_bounded`."""
    if len(set(constraints)) == 1:
        return constraints[0].unbounded(x)
    columns = zip(constraints, x.unbind(dim=-1), strict=True)
    return torch.stack([each.unbounded(column) for each, column in columns], dim=-1)


class Parameterised:
    """A model with named parameters, each with a constraint: a law, or a model of the noise.

    Attributes
    ----------
    names : tuple of str
        The parameters, as people read and write them.
    """

    names: tuple[str, ...]

    @property
    def matrices(self) -> tuple[CorrelationMatrix, ...]:
        """The parameters that are coordinates of a correlation matrix, matrix by matrix.

        All other natural values are t(u), entry by entry.
        """
        return ()

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """The constraint of each parameter.

        A model states them, or the flags of its base class from which they follow.
        """
        return self._flagged()

    def _flagged(self) -> tuple[Constraint, ...]:
        """Return the constraints of a model that states flags in their place."""
        raise NotImplementedError

    @property
    def states_flags(self) -> bool:
        """Whether the model states flags, and no constraints."""
        own = type(self).constraints is Parameterised.constraints
        return own and "constraints" not in vars(self)

    def _are(self, constraint: Constraint) -> np.ndarray:
        """Return which parameters have a constraint (n,); none for a model that states flags."""
        if self.states_flags:
            return np.zeros(len(self.names), dtype=bool)
        return np.array([each == constraint for each in self.constraints], dtype=bool)

    def to_natural(self, unconstrained: np.ndarray) -> np.ndarray:
        """Return the natural values for unconstrained parameters of shape (..., n)."""
        return entrywise(self.constraints, unconstrained)

    def to_unconstrained(self, natural: np.ndarray) -> np.ndarray:
        """Undo :meth:`to_natural`, for values (n,) that the constraints allow.

        Raises
        ------
        ValueError
            If the values do not go together, such as impossible correlations.
        """
        return entrywise(self.constraints, natural, inverse=True)

    def from_natural(self, values: Mapping[str, Any] | Sequence[float]) -> np.ndarray:
        """Return unconstrained parameters (n,) for natural values, by name or in order.

        Raises
        ------
        ValueError
            If names or their number do not fit, if a value is outside its constraint, or if values
            do not go together.
        """
        if isinstance(values, Mapping):
            values = self._by_name(values)
            if set(values) != set(self.names):
                raise ValueError(f"expected the names {self.names}, got {tuple(values)}")
            values = [values[name] for name in self.names]
        natural = np.asarray(values, dtype=float)
        if natural.shape != (len(self.names),):
            raise ValueError(f"expected {len(self.names)} values, got shape {natural.shape}")
        for name, constraint, value in zip(self.names, self.constraints, natural, strict=True):
            if not constraint.holds(value):
                raise ValueError(f"'{name}' is {value:g}, but it must {constraint.domain}")
        return self.to_unconstrained(natural)

    def _by_name(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return values by name, for values by name or by other keys that a model allows."""
        return values
