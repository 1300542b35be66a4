r"""New systems of a population that is known: parameters, observations elsewhere, and belonging.

With draws p_b = (alpha_b, gamma_b) of the distribution of law and noise, and draws e_b of the
surrogate's error G(z) - S(z) on fresh solves, a draw of a system's parameters belongs to

.. math:: p(z \mid y, p_b, e_b) \propto p\bigl(y \mid S(z) + e_b, \gamma_b\bigr)\, \mu(z; \alpha_b).

Its noise-free observation is ``S(z) + e_b`` at all places. With noise, it is the observation that
the system would give. Noise of the same measurement is correlated with the residuals r at the
places that were seen,

.. math:: \xi \mid r \sim N\bigl(\Gamma_{us} \Gamma_{ss}^{-1} r,\;
    \Gamma_{uu} - \Gamma_{us} \Gamma_{ss}^{-1} \Gamma_{su}\bigr),

and is drawn so at places that were not seen (Matheron's rule: a draw of the noise at all places is
corrected by ``Gamma_us Gamma_ss^-1`` times its difference from r). At places that were seen, and
for a system with replicates, it is the noise of a repeated measurement. Censored entries restrict
the noise by rejection. Correlated noise with heavy tails is drawn as that of a repeated measurement
everywhere.

The solver can take the surrogate's place: each kept draw is solved, and draws are chosen again by
the weights ``p(y | G(z), gamma_b) / p(y | S(z) + e_b, gamma_b)``.

A system belongs to the population with the p-value of its least misfit D
(:mod:`popinv.methods.posterior.references`) among systems that are simulated with its own design,
covariates, gaps, limits and scale, from the same draws p_b and e_b. The p-value is uniform for
systems of the population, whatever was observed of them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.stats import truncnorm

from popinv.errors import ConfigError, DataError
from popinv.figures.individuals import modes
from popinv.forward.datasets import replicates_of
from popinv.forward.section import ForwardSection
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.uncertainty.surrogate_bias import solver_residuals
from popinv.late import torch
from popinv.methods.posterior.density import Densities
from popinv.methods.posterior.group_draws import without_error
from popinv.methods.posterior.method import Posterior
from popinv.methods.posterior.references import least_misfits, surprise_p_values
from popinv.methods.posterior.sampling import Posteriors, sample_posteriors
from popinv.methods.posterior.study import (
    LEVEL,
    kept_rows,
    laws_of,
    reported,
    told_quantities,
)
from popinv.population.known import Known, inputs
from popinv.population.members import known_apart, members_apart
from popinv.population.model import Model
from popinv.population.noise.terms import Noise
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv.workers import parallel

# Draws of the surrogate's error where law and noise are taken as known.
_ERRORS = 200
# Simulated systems of all conditions together, and the most and the fewest of one.
_SIMULATED, _MOST, _FEWEST = 8000, 1000, 200
# Draws of the population's band.
_BAND = 400
# Rows of a system of which noise is drawn together, and how often for censored entries.
_ENTRIES, _TRIES = 4_000_000, 200
# Sweeps of Gibbs sampling where no try ends within the limits.
_SWEEPS = 50
_ENDS = (0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Recovered:
    """What a finished study knows.

    Attributes
    ----------
    model : Model
        Forward model, law and noise. The forward model may have more times than the study.
    simulator : callable
        The surrogate or the function itself, at the places of the forward model.
    population, check : Dataset
        The answer, and the record of fresh solves.
    seed : int
        Of the study, which may have placed the sensors at random.
    draws_seed : int
        Of all draws.
    """

    model: Model
    simulator: Callable[[torch.Tensor], torch.Tensor]
    population: xr.Dataset
    check: xr.Dataset
    seed: int
    draws_seed: int

    def problem(self, observations: xr.Dataset) -> Problem:
        """Return the problem of new systems.

        Raises
        ------
        ConfigError
            If the noise has parameters for each place, and the forward model has other places.
        """
        width = observations.sizes["observation"]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # One system has no deviation of its covariates, which only a descent needs.
            warnings.simplefilter("ignore")
            problem = descent_problem(
                self.model,
                observations,
                self.simulator,  # type: ignore[arg-type]
                self.seed,
                "predict",
                np.zeros(width),
            )
        wanted = self.population.sizes["noise_parameter"]
        if len(problem.noise.names) != wanted:
            raise ConfigError(
                f"at: the noise of kind '{self.model.noise.kind}' has parameters for each place or "
                "time of the study, and none for others; predict at the study's own"
            )
        return replace(problem, seed=self.draws_seed)


def predict(
    recovered: Recovered,
    observations: xr.Dataset,
    asked: Posterior,
    entries: np.ndarray,
    solver: SolverSimulator | None = None,
    elsewhere: tuple[Recovered, xr.Dataset] | None = None,
) -> xr.Dataset:
    """Return parameters and observations of new systems, and whether they belong to the population.

    Parameters
    ----------
    recovered : Recovered
    observations : Dataset
        The new systems, as those to learn from.
    asked : Posterior
        Settings of the draws.
    entries : ndarray of int
        The observations that are predicted.
    solver : SolverSimulator, optional
        The forward model in the surrogate's place.
    elsewhere : (Recovered, Dataset), optional
        With the solver: the same with the solver at all places that are predicted.

    Returns
    -------
    Dataset
        That of the posteriors (:func:`popinv.methods.posterior.study.posterior_dataset`), and by
        (system, observation) ``given``, and for ``signal`` (without noise), ``observed`` (with
        noise) and ``population`` (a system of the population with the same design, with noise) the
        ``_mean``, ``_deviation``, ``_lower``, ``_median`` and ``_upper`` ends of the 95 % interval.
        Draws ``signal`` and ``observed`` stand along (chain, draw), as ``z`` does.

    Raises
    ------
    ConfigError
        If the solver cannot take the surrogate's place.
    DataError
        If a member of a group has no observation.
    """
    problem = recovered.problem(observations)
    _refuse_unseen_members(problem, observations)
    p, laws = estimate_of(recovered.population), laws_of(recovered.population, asked)
    residuals = solver_residuals(problem, recovered.check)
    every, errors = error_draws(p, laws, residuals, recovered.draws_seed)
    if solver is not None and problem.members > 1:
        raise ConfigError(
            "through: the solver cannot take the surrogate's place for groups, as each draw would "
            "need a solve for each member; leave 'through' out"
        )
    with fixed_threads():
        posteriors = sample_posteriors(
            problem, p, asked.chains, asked.effective, asked.most_moves, every, errors
        )
        draws = _Draws(problem, p[None] if every is None else every, errors)
        if solver is not None:
            posteriors = draws.through(solver, posteriors, asked.kept_draws)
        surprise = belonging(problem, p, every, errors)
        told = told_quantities(recovered.model.forward, recovered.model.law)
        result, apart = reported(problem, observations, posteriors, surprise, asked, told)
        result = result.rename(surprise_p_value="p_value")
        result["mode"] = variable(
            ("system", "parameter"),
            told.of(_modes(problem, p)),
            "value at the mode of the system's standard normal numbers (empirical Bayes)",
        )
        if elsewhere is not None:
            recovered, observations = elsewhere
            draws = _Draws(recovered.problem(observations), draws.laws, None)
        signal, observed = draws.observations(apart, result.sizes["draw"])
        band = draws.population()
    description = recovered.model.forward.observed(recovered.seed)
    given = draws.given()
    if description.logarithm:
        given, signal, observed, band = (np.exp(each) for each in (given, signal, observed, band))
    units, quantity = description.units, description.long_name or description.name
    if description.logarithm:
        # The quantity itself is told, whose unit the name of its logarithm holds.
        units, quantity = _of_logarithm(recovered.model.forward)
    told_of_y = _observed_dataset(observations, entries, given, signal, observed, band, units)
    settings = {"draws": asked.model_dump(), "through": "surrogate" if solver is None else "solver"}
    attrs = {"quantity": quantity, "seed": recovered.draws_seed, "config": json.dumps(settings)}
    return _with_draws(result).merge(told_of_y).assign_attrs(attrs)


def belonging(
    problem: Problem, p: np.ndarray, laws: np.ndarray | None, errors: np.ndarray | None
) -> np.ndarray:
    """Return the p-value of each system among those with the same conditions, (N,).

    NaN for a system without observations.
    """
    columns = problem.conditions.columns() + 0.0
    columns = np.concatenate([columns, np.zeros((len(columns), 1))], axis=1)
    kinds, group = np.unique(columns, axis=0, return_inverse=True)
    count = int(np.clip(_SIMULATED // len(kinds), _FEWEST, _MOST))
    found = np.full(len(columns), np.nan)
    seen = problem.conditions.present.any(axis=1)
    groups = [np.flatnonzero((group.reshape(-1) == k) & seen) for k in range(len(kinds))]
    groups = [rows for rows in groups if len(rows)]

    def of_kind(rows: np.ndarray) -> np.ndarray:
        own = replace(problem.of_systems(rows), stage=f"{problem.stage}/belonging")
        # A single search is quick. Of observed and simulated systems alike, it keeps the size.
        misfit = least_misfits(own, p, 0)
        return surprise_p_values(own, p, misfit, count, laws, errors, 0)

    told = parallel(of_kind, groups, "belonging", unit="condition", delay=0)
    for rows, p_values in zip(groups, told, strict=True):
        found[rows] = p_values
    return found


def _refuse_unseen_members(problem: Problem, observations: xr.Dataset) -> None:
    """Refuse members of groups that have no observation, which the draws of groups leave out."""
    if "member_id" not in observations.coords:
        return
    names = observations["member_id"].values.astype(str)
    seen = problem.conditions.present.reshape(*names.shape, -1).any(axis=2)
    for name in names[(names != "") & ~seen][:1]:
        raise DataError(
            f"data: '{name}' has no observation; the members of groups are predicted from "
            "observations of their own. Leave it out, or add one"
        )


def _modes(problem: Problem, p: np.ndarray) -> np.ndarray:
    """Return the parameters of each member that is told at the mode of its system, (n, d_z)."""
    with torch.no_grad():
        z = inputs(problem.law, problem.tensors(p)[0], modes(problem, p), problem.known)
    each: np.ndarray = z[:, : problem.law.d_z].reshape(len(z), problem.members, -1).numpy()
    return each[problem.present_members]


def error_draws(
    p: np.ndarray, laws: np.ndarray | None, residuals: np.ndarray | None, seed: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return laws and as many errors of the surrogate; each may be None."""
    if residuals is None:
        return laws, None
    finite = residuals[np.isfinite(residuals).all(axis=1)]
    laws = np.repeat(p[None], _ERRORS, axis=0) if laws is None else laws
    rng = generator(seed, "predict/errors")
    # Each error comes up equally often, but for one.
    order = np.concatenate(
        [rng.permutation(len(finite)) for _ in range(-(-len(laws) // len(finite)))]
    )
    return laws, finite[order[: len(laws)]]


@dataclass(frozen=True)
class _Draws:
    """The observations that belong to draws of the parameters of single members.

    Attributes
    ----------
    problem : Problem
    laws : ndarray of shape (B, n_p)
    errors : ndarray of shape (B, d_y), optional
    """

    problem: Problem
    laws: np.ndarray
    errors: np.ndarray | None

    @property
    def _union(self) -> Problem:
        return self.problem.at_all_places

    @property
    def _noise(self) -> Noise:
        return self._union.noise.of_one

    @property
    def _width(self) -> int:
        return self._noise.d_y

    @property
    def _members(self) -> tuple[np.ndarray, np.ndarray]:
        """The group of each member that is told, and its place in it."""
        group, member = np.nonzero(self.problem.present_members)
        return group, member

    @property
    def _known(self) -> Known:
        """The known quantities of each member that is told."""
        return known_apart(self._union.known, self.problem.present_members)

    def _of_members(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (N, R d) of groups as (n, R_m, d), those of the members that are told."""
        members, (group, member) = self.problem.members, self._members
        each = rows.reshape(len(rows), members, -1, self._width)
        return np.asarray(each[group, member])

    def given(self) -> np.ndarray:
        """Return the mean of what was observed of each member, NaN where nothing was, (n, d)."""
        y = self._of_members(self._seen())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing was observed
            return np.asarray(np.nanmean(y, axis=1))

    def _seen(self) -> np.ndarray:
        present = self._union.conditions.present
        return np.where(present, np.asarray(self._union.data), np.nan)

    def through(self, solver: SolverSimulator, posteriors: Posteriors, kept: int) -> Posteriors:
        """Return draws chosen again by the weights of the solver."""
        draws, places, effective = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
        solved = self.problem.through(solver)
        with solver.session():
            for n, z in enumerate(posteriors.draws):
                flat = z.reshape(-1, z.shape[2])
                rows = kept_rows(len(flat), min(kept, len(flat)))
                z, own = flat[rows], posteriors.places[n].reshape(-1)[rows]
                weight = self._log(solved, z, own, n, None) - self._log(
                    self.problem, z, own, n, self.errors
                )
                weight = np.where(np.isfinite(weight), weight, -np.inf)
                weight = np.exp(weight - weight.max())
                weight /= weight.sum()
                share = (np.arange(len(rows)) + 0.5) / len(rows)
                chosen = np.minimum(np.searchsorted(np.cumsum(weight), share), len(rows) - 1)
                draws.append(z[chosen][None])
                places.append(own[chosen][None])
                effective.append(np.full(z.shape[1], 1 / (weight**2).sum()))
        return replace(
            posteriors,
            draws=draws,
            places=places,
            effective=np.minimum(np.array(effective), posteriors.effective),
        )

    def _log(
        self,
        problem: Problem,
        z: np.ndarray,
        places: np.ndarray,
        system: int,
        errors: np.ndarray | None,
    ) -> np.ndarray:
        """Return log p(y | g(z), gamma_b) of draws of a system, through a problem's simulator."""
        found, one = np.empty(len(z)), problem.of_systems(np.array([system]))
        known = one.known.repeated(len(z)).design
        with torch.no_grad():
            signal = one.simulate(torch.cat([torch.from_numpy(z), known], dim=1))
        for b in np.unique(places):
            rows = np.flatnonzero(places == b)
            density = Densities.at(without_error(one, errors, int(b)), self.laws[b]).observation
            first = torch.zeros(len(rows), dtype=torch.long)
            found[rows] = density.rows(first).at(signal[rows]).log.numpy()
        return found

    def observations(self, posteriors: Posteriors, kept: int) -> tuple[np.ndarray, np.ndarray]:
        """Return signals and observations of kept draws of all members, (kept, n, d) each."""
        known, (group, _) = self._known, self._members
        signals, observed = list[np.ndarray](), list[np.ndarray]()
        seen, present = self._of_members(self._seen()), self._union.conditions.present
        ends = self._union.conditions.limits.ends(np.asarray(self._union.data))
        low, high = (self._of_members(np.where(present, end, np.nan)) for end in ends)
        for n, z in enumerate(posteriors.draws):
            rows = kept_rows(z.shape[0] * z.shape[1], kept)
            z, places = z.reshape(-1, z.shape[2])[rows], posteriors.places[n].reshape(-1)[rows]
            own = known.of(np.array([n]))
            signal = self._signal(z, places, own.repeated(len(z)), n)
            # Another system of the table may have more replicates.
            held = np.isfinite(seen[n]).any(axis=1)
            entries = _SeenEntries(seen[n][held], low[n][held], high[n][held])
            scale = float(self._union.conditions.scale[group[n]])
            rng = generator(self.problem.seed, "predict/noise", n)
            signals.append(signal)
            observed.append(signal + self._noise_at(signal, places, own, scale, entries, rng))
        return np.stack(signals, axis=1), np.stack(observed, axis=1)

    def population(self) -> np.ndarray:
        """Return observations of the population with the design of each system, (_BAND, n, d)."""
        problem, (group, member) = self._union, self._members
        rng = generator(problem.seed, "predict/population")
        omega = torch.from_numpy(rng.standard_normal((_BAND, problem.law.d_omega)))
        places = np.arange(_BAND) * len(self.laws) // _BAND
        known, found = self._known, list[np.ndarray]()
        # Members with the same design have the same signals.
        signals = dict[tuple[bytes, int], np.ndarray]()
        for n in range(len(group)):
            of_group = problem.known.of(group[n : n + 1]).repeated(_BAND)
            alpha = torch.from_numpy(self.laws[places, : problem.d_alpha])
            with torch.no_grad():
                z = inputs(problem.law, alpha, omega, of_group)[:, : problem.law.d_z]
            z = members_apart(z, problem.members, problem.d_z).reshape(_BAND, problem.members, -1)
            own = known.of(np.array([n]))
            design = problem.known.columns[group[n]].tobytes(), int(member[n])
            if design not in signals:
                of_member = z[:, member[n]].numpy()
                signals[design] = self._signal(of_member, places, own.repeated(_BAND), n)
            signal = signals[design]
            scale = float(problem.conditions.scale[group[n]])
            fresh = generator(problem.seed, "predict/population/noise")
            found.append(signal + self._noise_at(signal, places, own, scale, None, fresh))
        return np.stack(found, axis=1)

    def _signal(self, z: np.ndarray, places: np.ndarray, known: Known, n: int) -> np.ndarray:
        """Return noise-free observations of one replicate of a member, (S, d)."""
        rows = torch.cat([torch.from_numpy(z), known.design], dim=1)
        with torch.no_grad():
            signal = self.problem.surrogate(rows)[:, : self._width].to(torch.float64)
            if self._noise.shared is not None:
                signal = signal.clone()
                for b, own in _by_place(places, len(places)):
                    gamma = torch.from_numpy(self.laws[b, self.problem.d_alpha :].copy())
                    signal[own] += self._noise.shift(gamma, known.covariates[own])
        clean = signal.numpy()
        if self.errors is None:
            return np.asarray(clean)
        # The replicates of a member have the same error.
        errors = self.errors[places].reshape(len(z), self.problem.members, -1, self._width)
        return np.asarray(clean + errors[:, self._members[1][n], 0])

    def _noise_at(
        self,
        signal: np.ndarray,
        places: np.ndarray,
        known: Known,
        scale: float,
        entries: _SeenEntries | None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return noise (S, d) of draws of a member with laws ``places`` (S,)."""
        e = rng.standard_normal(signal.shape)
        found = np.empty_like(signal)
        noise = self._noise
        joint = entries is not None and entries.once and not noise.independent
        joint = joint and not noise.heavy_tails
        for b, rows in _by_place(places, max(1, _ENTRIES // signal.shape[1] ** 2)):
            gamma = torch.from_numpy(self.laws[b, self.problem.d_alpha :].copy())
            g = torch.from_numpy(signal[rows])
            covariates = known.covariates.expand(len(rows), -1)
            with torch.no_grad():
                scales = torch.full((len(rows),), scale, dtype=g.dtype)
                own = torch.from_numpy(e[rows])
                fresh = noise.sample_given(gamma, own, g, covariates, scales)
            found[rows] = scale * fresh.numpy()
            if joint:
                assert entries is not None
                with torch.no_grad():
                    given = noise.covariance_given(gamma, g, covariates).numpy()
                covariance = scale**2 * given
                given = entries.given(signal[rows], found[rows], covariance, rng)
                found[rows] = np.where(entries.seen, found[rows], given)
        return found


@dataclass(frozen=True)
class _SeenEntries:
    """What was observed of a member: values (R, d), and the ends between which they lie."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def once(self) -> bool:
        """Whether the member was observed once, in some of the entries."""
        return len(self.values) == 1 and bool(self.seen.any())

    @property
    def seen(self) -> np.ndarray:
        """Which entries were observed, (d,)."""
        return np.asarray(np.isfinite(self.values).any(axis=0))

    def given(
        self,
        signal: np.ndarray,
        noise: np.ndarray,
        covariance: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return noise (S, d) of the measurement that was seen, for noise drawn without regard.

        The covariance (S, d, d) is that of each draw.
        """
        low, high = self.low[0], self.high[0]
        exact = self.seen & (low == high)
        censored = np.flatnonzero(self.seen & ~exact)
        residual = low[exact] - signal[:, exact]
        gain = np.linalg.solve(covariance[:, exact][:, :, exact], covariance[:, exact]).transpose(
            0, 2, 1
        )

        def corrected(drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
            shift = (residual[rows] - drawn[:, exact])[..., None]
            return np.asarray(drawn + (gain[rows] @ shift)[..., 0])

        found = corrected(noise, np.arange(len(noise)))
        if not len(censored):
            return found
        factor = np.linalg.cholesky(covariance)
        left = np.arange(len(noise))
        for _ in range(_TRIES):
            y = signal[left][:, censored] + found[left][:, censored]
            left = left[~((low[censored] <= y) & (y <= high[censored])).all(axis=1)]
            if not len(left):
                break
            e = rng.standard_normal((len(left), noise.shape[1], 1))
            found[left] = corrected((factor[left] @ e)[..., 0], left)
        if len(left):
            found[left] = self._swept(
                signal[left], found[left], covariance[left], factor[left], rng
            )
        return found

    def _swept(
        self,
        signal: np.ndarray,
        noise: np.ndarray,
        covariance: np.ndarray,
        factor: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return noise (S, d) within the ends, by Gibbs sampling, where few draws lie within."""
        held = np.flatnonzero(self.seen)
        own = covariance[:, held][:, :, held]
        precision = np.linalg.inv(own)
        low, high = (end[0, held] - signal[:, held] for end in (self.low, self.high))
        r = np.clip(noise[:, held], low, high)
        for _ in range(_SWEEPS):
            for k in np.flatnonzero(self.low[0, held] < self.high[0, held]):
                deviation = precision[:, k, k] ** -0.5
                mean = r[:, k] - (precision[:, k] * r).sum(axis=1) * deviation**2
                ends = ((end[:, k] - mean) / deviation for end in (low, high))
                r[:, k] = truncnorm.rvs(*ends, mean, deviation, random_state=rng)
        gain = np.linalg.solve(own, covariance[:, held]).transpose(0, 2, 1)
        free = (factor @ rng.standard_normal((*noise.shape, 1)))[..., 0]
        return np.asarray(free + (gain @ (r - free[:, held])[..., None])[..., 0])


def _by_place(places: np.ndarray, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each place, and the rows that have it, at most so many together."""
    for b in np.unique(places):
        rows = np.flatnonzero(places == b)
        for start in range(0, len(rows), most):
            yield int(b), rows[start : start + most]


def _of_logarithm(forward: ForwardSection) -> tuple[str, str]:
    """Return unit and name of the quantity whose logarithm is observed."""
    section = forward.observations  # type: ignore[attr-defined]
    return section.units, section.long_name or section.name


def _with_draws(result: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose draws are along (chain, draw), as ArviZ reads them."""
    drawn = {
        name: each.expand_dims("chain")
        for name, each in result.data_vars.items()
        if "draw" in each.dims
    }
    named = result["system_id"].values if "system_id" in result.coords else None
    count = result.sizes["system"]
    names = np.array([str(i + 1) for i in range(count)]) if named is None else named
    return (
        result.assign(drawn)
        .drop_vars("system_id", errors="ignore")
        .assign_coords(system=variable("system", names, "system"))
    )


def _observed_dataset(
    observations: xr.Dataset,
    entries: np.ndarray,
    given: np.ndarray,
    signal: np.ndarray,
    observed: np.ndarray,
    band: np.ndarray,
    units: str,
) -> xr.Dataset:
    """Return what is told of the observations of n systems: draws (S, n, d), and their summary."""
    dims = ("system", "observation")
    named = {
        "signal": (signal, "without noise"),
        "observed": (observed, "with noise"),
        "population": (band, "of a system of the population, with noise"),
    }
    variables = {"given": variable(dims, given[:, entries], "observation that was given", units)}
    for name, (drawn, words) in named.items():
        own = drawn[:, :, entries]
        lower, median, upper = np.nanquantile(own, _ENDS, axis=0, method="weibull")
        told = {
            "mean": (np.nanmean(own, axis=0), "mean"),
            "deviation": (np.nanstd(own, axis=0, ddof=1), "standard deviation"),
            "lower": (lower, "lower end of the 95 % interval"),
            "median": (median, "median"),
            "upper": (upper, "upper end of the 95 % interval"),
        }
        for key, (values, meaning) in told.items():
            variables[f"{name}_{key}"] = variable(dims, values, f"{meaning} {words}", units)
        if name != "population":
            every = own[None]
            variables[name] = variable(("chain", "draw", *dims), every, f"draws {words}", units)
    width = observations.sizes["observation"] // replicates_of(observations)
    coordinates = {
        name: observations[name]
        .isel(observation=slice(0, width))
        .isel(observation=entries)
        .variable
        for name in observations.coords
        if observations[name].dims == ("observation",) and name != "replicate"
    }
    return xr.Dataset(variables, coords=coordinates)
