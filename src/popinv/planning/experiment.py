"""What a design chooses from: a model at candidate places, and what would be true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import ConfigError, require_known
from popinv.inference.answer.stated_values import named_apart, read_names, read_values
from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.planning.criteria import NAMES, Criterion, CriterionName
from popinv.planning.information import (
    LocalMoments,
    is_normal_law,
    local_moments,
    noise_moments,
    normal_law,
    population_moments,
    systems_of_law,
)
from popinv.planning.search import Scenario
from popinv.population.known import Known
from popinv.sections.refusals import REFUSED

# Systems about which the simulator is linearised: for the search, and for the standard errors.
SEARCHED, REPORTED = 64, 256
MOST_CANDIDATES = 400
"""Largest number of candidate places, since all pairs of them have a covariance."""


@dataclass(frozen=True)
class Arm:
    """A candidate for the known quantities of systems, such as a dose.

    Attributes
    ----------
    name : str
        Empty if there is nothing to choose.
    known : Known
        Of systems, which take turns.
    values : mapping of str to float
        The chosen quantities.
    """

    name: str
    known: Known
    values: Mapping[str, float]


@dataclass(frozen=True)
class Experiment:
    """A model at candidate places, a plausible truth, and what is known before.

    Attributes
    ----------
    problem : Problem
        All candidates, one replicate. The data are not used.
    arms : tuple of Arm
    p : ndarray of shape (n_p,)
        The plausible truth, unconstrained.
    draws : ndarray of shape (S, n_p)
        Further plausible truths, over which a robust design averages.
    before : ndarray of shape (n_p, n_p)
        The information of a finished study, and of stated priors.
    systems_before : int
        Number of systems of the finished study.
    parameters : tuple of str
        The entries of z.
    places : tuple of str
        The candidates in words.
    """

    problem: Problem
    arms: tuple[Arm, ...]
    p: np.ndarray
    draws: np.ndarray
    before: np.ndarray
    systems_before: int
    parameters: tuple[str, ...]
    places: tuple[str, ...]

    def __post_init__(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        problem, noise = self.problem, self.problem.noise
        stated = {
            "levels": problem.members > 1,
            "unrestricted noise": noise.unrestricted,
            "fitted discrepancy": noise.own is not None or noise.shared is not None,
            "free form": problem.law.summarised,
            "limits": problem.conditions.limited,
            "noise scales": problem.conditions.scaled,
        }
        for trait, has in stated.items():
            if has:
                raise ConfigError(REFUSED["design", trait])
        d = problem.data.shape[1]
        if d > MOST_CANDIDATES:
            raise ConfigError(
                f"there are {d} candidates, and at most {MOST_CANDIDATES} are allowed; state fewer "
                "by 'candidates' (--candidates FIRST:LAST:STEP)"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The entries of p as users read them; those of the noise have the prefix ``noise_``."""
        of_noise = (named_apart("noise", name) for name in self.problem.noise.names)
        return (*read_names(self.problem.law), *of_noise)

    def natural(self, p: np.ndarray) -> np.ndarray:
        """Return the values of all parameters at p (n_p,) as users read them."""
        law, (alpha, gamma) = self.problem.law, self.problem.split(p)
        of_law = read_values(law, law.to_natural(alpha))
        return np.concatenate([of_law, self.problem.noise.to_natural(gamma)])

    @property
    def count(self) -> int:
        """Number of candidate places."""
        return int(self.problem.data.shape[1])

    def of_arm(self, number: int) -> Problem:
        """Return the problem of systems with the known quantities of an arm."""
        known = self.arms[number].known
        shape = (len(known), self.count)
        conditions = Conditions.stated(shape, known=known)
        return replace(self.problem, data=np.zeros(shape), conditions=conditions)

    def scale(self, p: np.ndarray) -> np.ndarray:
        """Return the natural size of a change of each parameter, (n_p,).

        It is 1 for logarithms, correlations and shares. For a mean it is the change that moves the
        parameters by one standard deviation of the population, as a root mean square.
        """
        problem = self.of_arm(0)
        scale = np.where(problem.logarithmic, 1.0, problem.scale)
        if not is_normal_law(problem, p):
            return scale
        moved = normal_law(problem, p)
        for i in problem.law.mean_entries or np.flatnonzero(~problem.logarithmic):
            scale[i] = moved.get(int(i), scale[i])
        return scale

    def moments(self, number: int, p: np.ndarray, systems: int) -> LocalMoments:
        """Return the moments of an arm about systems of the law, or of the whole population."""
        problem = self.of_arm(number)
        if is_normal_law(problem, p):
            return local_moments(problem, p, systems_of_law(problem, systems))
        return population_moments(problem, p)

    def scenario(self, p: np.ndarray, criterion: Criterion, systems: int) -> Scenario:
        """Return what would be true at p."""
        arms = tuple(self.moments(i, p, systems) for i in range(len(self.arms)))
        return Scenario(arms, self.before, criterion)

    def criterion(self, p: np.ndarray, name: CriterionName, wanted: Sequence[str]) -> Criterion:
        """Return a criterion about some of the parameters, by default about all.

        Raises
        ------
        ConfigError
            If there is no such criterion or parameter.
        """
        require_known(name, NAMES, f"criterion: got '{name}'")
        free, scale = self.problem.of_moments.free, self.scale(p)
        if name == "systems":
            if not is_normal_law(self.of_arm(0), p):
                raise ConfigError(
                    "criterion: 'systems' needs a law that is normal after a transform of each "
                    "parameter; choose D or A for this law"
                )
            varying = [n for n, v in zip(self.parameters, self._varies(p), strict=True) if v]
            chosen = [self._known_name(each, varying) for each in wanted] or varying
            return Criterion(
                name, np.array([self.parameters.index(n) for n in chosen]), scale, free
            )
        entries = sorted({i for each in wanted for i in self._entries(each)})
        if not wanted:
            entries = [int(i) for i in np.flatnonzero(free & self._everywhere(p))]
        held = [self.names[i] for i in entries if not free[i]]
        if held:
            raise ConfigError(f"{held[0]} is held or known in this study, and has no error to plan")
        return Criterion(name, np.array(entries), scale, free)

    def left_out(self, criterion: Criterion) -> list[str]:
        """Return the parameters that are not wanted, among those without an answer yet."""
        rest = sorted(set(np.flatnonzero(criterion.free)) - set(criterion.wanted))
        return [self.names[i] for i in rest]

    def _known_name(self, name: str, names: Sequence[str]) -> str:
        require_known(name, names, f"parameters: got '{name}'")
        return name

    def _entries(self, name: str) -> list[int]:
        """Return the entries of p of a name: its own, or those of the law of an entry of z."""
        if name in self.names:
            return [self.names.index(name)]
        of_law = self.problem.law.names
        if name in of_law:
            return [of_law.index(name)]
        if name in self.parameters:
            found = [i for i, each in enumerate(of_law) if each.startswith(f"{name}_")]
            if found:
                return found
        require_known(name, self.names, f"parameters: got '{name}'")
        return []

    def _everywhere(self, p: np.ndarray) -> np.ndarray:
        """Return which parameters belong to all places: not the noise of single sensors.

        The signal counts as one, since noise that grows with it vanishes where it is zero.
        """
        problem, known = self.problem, self.arms[0].known
        gamma = torch.from_numpy(p[problem.d_alpha :])
        signal = torch.ones(len(known), self.count, dtype=gamma.dtype)
        change = noise_moments(problem, gamma, signal, known.covariates)[1][:, problem.d_alpha :]
        touched = (change.abs() > 0).any(dim=3).any(dim=0).numpy()
        everywhere = np.ones(len(p), dtype=bool)
        everywhere[problem.d_alpha :] = touched.all(axis=1) | ~touched.any(axis=1)
        return everywhere

    def _varies(self, p: np.ndarray) -> np.ndarray:
        spread = self.moments(0, p, 1).spread
        assert spread is not None
        return np.asarray(((spread**2).sum(dim=(0, 2)) > 0).numpy())
