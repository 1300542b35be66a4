r"""Tests of the fitted model with all systems: score tests against larger models.

Let f_n be the features of system n (:mod:`popinv.inference.checks.features`) and s_n the scores of
the estimate. If the model is right, and p the estimate from the same systems, then to first order

.. math::
    \bar f - E f \approx \frac1N \sum_n r_n, \qquad
    r_n = f_n - E f - \operatorname{Cov}(f, s) \operatorname{Cov}(s)^{-1} (s_n - E s),

since the estimate takes from f what the scores explain (Newey, Econometrica 53, 1985). Hence the
test needs neither systems set aside nor a refit. E and Cov are computed from systems that are
simulated from the fitted model, with the residuals of the surrogate and the conditions of the
observed systems.

The null distribution comes from samples of N simulated systems whose mean score is close to the
observed mean score, so that their estimate is close to the answer. Given the scores, the
distribution of a sample does not depend on the parameters in an exponential family (Lehmann and
Romano, Testing Statistical Hypotheses, 2005, section 4.3). With few systems the features of these
samples vary less than the features of all samples: the fourth moment of 8 systems is bounded once
their variance is given.

A larger model has the parameter ``theta`` of a feature; theta is zero in the fitted model. Its
estimate by one step of Newton's method is :math:`\bar r / \operatorname{Var} r`, with the standard
error :math:`1 / \sqrt{N \operatorname{Var} r}`. A test that would see a large theta with a
probability of less than 80 % has no power.

The larger model moves the estimate by :math:`-\operatorname{Cov}(s)^{-1} \operatorname{Cov}(s, f)\,
\theta` to first order, which a finding states in standard errors.

A feature whose parameter the fitted model has already is left out. A feature of pairs of systems
(:mod:`popinv.inference.checks.pairs`) is a sum over pairs instead of a mean, in the same samples.

The p-values are adjusted for the number of features by the distribution of the smallest of them
(Westfall and Young, Resampling-based multiple testing, 1993). If the model is right, the chance
that any is below 0.05 is 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.special import ndtri

from popinv.errors import DivergenceError
from popinv.forward.datasets import observation_names
from popinv.inference.answer.result import estimate_of
from popinv.inference.checks.faults import FirstMoments, Largest, Spread, noise_deviations
from popinv.inference.checks.features import Feature, FeatureSet, features_of, varying_parameters
from popinv.inference.checks.field_features import FieldCosines, of_field
from popinv.inference.checks.pairs import SystemPairs
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.inference.estimators.maximum import maximum_likelihood
from popinv.inference.integrate.integrals import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.uncertainty.intervals import boundaries, settled
from popinv.inference.uncertainty.standard_errors import simulated
from popinv.inference.uncertainty.surrogate_bias import solver_residuals
from popinv.judgement.measures import MOVES, FeatureTest, Part, PartTest
from popinv.sections.systems import FEWEST_TESTED
from popinv.seeds import generator

# Largest numbers of simulated systems and of observed systems that are used.
_SIMULATED, _SYSTEMS = 4000, 4000
# Fewer systems are simulated if these times the random numbers and observations of each are more
# than the second number, but at least the first. A thousand fields of a hundred cosines, at fifty
# places, take ten seconds.
_FEWEST, _SIMULATED_WORK = 1000, 5e6
# The largest such product of the observed systems with which the model is fitted again.
_REFITTED_WORK = 5e5
# The samples of the null distribution with the closest scores are kept, at most the first number.
# The second number is the least number of samples drawn, the third the most systems in all samples
# together (a second). From 200 systems on, the means of features hardly depend on the means of
# scores, and all samples are kept.
_CLOSEST, _LEAST_DRAWN, _MOST_DRAWN = 20_000, 4000, 4_000_000
# Number of systems from which means are normal.
_NORMAL = 1000
# Largest number of systems that are taken for faults of the data.
_FAR = 3
# Share of the null distribution beyond which its tail is taken as exponential.
_TAIL = 0.01
# Features of a smaller variance beyond the scores, as a share of their own, are parameters of the
# fitted model itself.
_LEAST_VARIANCE = 1e-3
# Probability with which a test must see a large parameter, and the level.
_POWER, _LEVEL = 0.8, 0.05
# Error of the surrogate, in standard deviations of the noise, above which single observations are
# not judged.
_ROUGH = 0.5
# Standard errors below which a move is not stated.
_HARDLY = 0.1
# The parts of a model.
_PARTS: tuple[Part, ...] = ("law", "noise", "simulator")
_NO_SHAPE = "there are no tests for this kind of law"


@dataclass(frozen=True)
class ScoreTest:
    """The test of one feature.

    Attributes
    ----------
    theta, error : float
        Estimate of its parameter, and standard error.
    p_value : float
        Adjusted for the number of features.
    powerful : bool
        Whether the test would see a large parameter.
    system : int
        Number of the system that the finding is of; -1 if it is of all.
    where : str
        The names of this system, and of others that are alike.
    without : ndarray of shape (n_p,), optional
        The estimate without them, if they are a fault of the data.
    moves : ndarray of shape (n_free,), optional
        How far the larger model moves the free parameters, in standard errors.
    effect : str
        The largest of these moves in words.
    """

    feature: Feature
    theta: float
    error: float
    p_value: float
    powerful: bool
    system: int = -1
    where: str = ""
    without: np.ndarray | None = None
    moves: np.ndarray | None = None
    effect: str = ""

    @property
    def told(self) -> str:
        """The finding in words, with the next larger model."""
        feature, size = self.feature, f" ({self.feature.unit} {self.theta:+.2g} ± {self.error:.1g})"
        remedy = feature.remedy if feature.fault else f"the next larger model: {feature.remedy}"
        return f"{feature.told}{self.where}{size if self.system < 0 else ''}{self.effect}; {remedy}"


def specification_tests(
    problem: Problem,
    population: xr.Dataset,
    observations: xr.Dataset,
    check: xr.Dataset,
    solver: Callable[[], SolverSimulator] | None = None,
) -> tuple[tuple[PartTest, ...], tuple[FeatureTest, ...]]:
    """Return the tests of a study's answer, by part and by feature.

    Parameters
    ----------
    problem : Problem
        The fitted problem, with the surrogate.
    check : Dataset
        Fresh solves.
    solver : callable, optional
        Returns the forward model. It takes the place of a surrogate with large errors, if the
        answer went through it: with such errors, the tests doubt a model that is right.
    """
    if population.attrs["estimator"] != "likelihood":
        return _not_judged("these tests need the likelihood, which is not the answer")
    if problem.count < FEWEST_TESTED:
        return _not_judged(
            f"these tests average over at least {FEWEST_TESTED} systems; crossed levels join the "
            f"members into {problem.count}"
        )
    free = problem.held({*boundaries(population), *settled(population)})
    residuals, p = solver_residuals(problem, check), estimate_of(population)
    rough = _error_of_surrogate(problem, p, residuals) > _ROUGH
    if solver is not None and rough and population.attrs["through"] == "solver":
        free, residuals = free.through(solver()), None
    try:
        findings = specification(free, observations, p, residuals)
    except DivergenceError as failure:
        return _not_judged(str(failure))
    findings = [_with_answer(free, population, each) for each in findings]
    features = tuple(
        FeatureTest(f.feature.name, f.theta, f.error, f.feature.large, f.p_value) for f in findings
    )
    shaped = bool(varying_parameters(problem)) or problem.law.wave_numbers is not None
    return part_tests(findings, shaped), features


def _with_answer(problem: Problem, population: xr.Dataset, finding: ScoreTest) -> ScoreTest:
    """Return a finding with what it does to the answer.

    This is the estimate without the systems that it names, or how far the larger model moves it.
    """
    names = [*problem.law.names, *(f"noise_{name}" for name in problem.noise.names)]
    if finding.without is None:
        if finding.moves is None:
            return finding
        most, free = int(np.abs(finding.moves).argmax()), np.flatnonzero(problem.free)
        told = f", {MOVES} {names[free[most]]} by {finding.moves[most]:+.1f} standard errors"
        if abs(finding.moves[most]) < _HARDLY:
            told = ", which hardly moves the answer"
        return replace(finding, effect=told)
    p, error = estimate_of(population), np.sqrt(np.diag(population["covariance"].values))
    moved = np.divide(finding.without - p, error, out=np.zeros_like(p), where=error > 0)
    most = int(np.abs(moved).argmax())
    value, before = problem.natural(finding.without)[most], problem.natural(p)[most]
    told = f"; without, {names[most]} is {value:.3g} in place of {before:.3g}"
    return replace(finding, where=finding.where + told)


def _not_judged(reason: str) -> tuple[tuple[PartTest, ...], tuple[FeatureTest, ...]]:
    return tuple(PartTest(part, reason) for part in _PARTS), ()


def part_tests(findings: Sequence[ScoreTest], shaped: bool = True) -> tuple[PartTest, ...]:
    """Return what the tests of each part have found together.

    Parameters
    ----------
    findings : sequence of ScoreTest
    shaped : bool
        False if the law has no parameters whose shape is tested.
    """
    found = []
    faults = sorted((f for f in findings if f.feature.fault and f.p_value < _LEVEL), key=_order)
    for part in _PARTS:
        own = sorted((f for f in findings if f.feature.part == part), key=_order)
        if not own:
            reason = "nothing is to be tested" if shaped or part != "law" else _NO_SHAPE
            found.append(PartTest(part, reason))
            continue
        unseen = tuple(finding.feature.told for finding in own if not finding.powerful)
        # A fault of the data looks like mistakes of all parts.
        seen = [*faults, *own][0].told if own[0].p_value < _LEVEL else ""
        found.append(PartTest(part, "", seen, own[0].p_value, len(own), unseen))
    return tuple(found)


def _order(finding: ScoreTest) -> tuple[float, bool, float]:
    """Return the place of a finding: by p-value, then by the estimate in standard errors.

    Of equal ones, that of a single system is last, since a mistake of all shows in some system.
    """
    return finding.p_value, finding.system >= 0, -abs(finding.theta / finding.error)


def specification(
    problem: Problem,
    observations: xr.Dataset,
    p: np.ndarray,
    residuals: np.ndarray | None = None,
) -> list[ScoreTest]:
    """Return the tests of a fitted model, one for each feature.

    Parameters
    ----------
    problem : Problem
        With the surrogate.
    observations : Dataset
        With the coordinates of the observations.
    p : ndarray of shape (n_p,)
        The maximum of the likelihood.
    residuals : ndarray of shape (K, d_y), optional
        Solver minus surrogate on fresh solves.

    Raises
    ------
    DivergenceError
        If the likelihood of a system is not finite.
    """
    observed = problem
    if len(problem.data) > _SYSTEMS:
        rng = generator(problem.seed, "specification/systems")
        rows = np.sort(rng.choice(len(problem.data), _SYSTEMS, replace=False))
        observed, observations = problem.of_systems(rows), observations.isel(system=rows)
    return _with_systems(observed, observations, p, residuals)


def _tested(
    problem: Problem, observations: xr.Dataset, p: np.ndarray, residuals: np.ndarray | None
) -> tuple[list[ScoreTest], np.ndarray]:
    """Return the tests, and the mean squares (N, d_y) of the residuals."""
    moments = _features(problem, p, MarginalSettings(features=FirstMoments()))
    first, second, omega = np.split(moments, np.cumsum([problem.data.shape[1]] * 2), axis=1)
    field = of_field(FieldCosines.of(problem, p, omega))
    chosen = features_of(problem, observations, p, Spread.of(first, second, problem), field)
    if _error_of_surrogate(problem, p, residuals) > _ROUGH:
        # A large error of the surrogate at one system is no fault of its data.
        chosen = replace(chosen, features=[f for f in chosen.features if f.name != "far"])
    settings = MarginalSettings(features=chosen)
    enough = max(_FEWEST, int(_SIMULATED_WORK / _work(problem)))
    drawn = simulated(problem, p, min(_SIMULATED, enough), "specification", residuals)
    f, s = _with_scores(problem, p, settings, chosen)
    g, t = _with_scores(replace(drawn, stage=f"{problem.stage}/specification"), p, settings, chosen)
    finite = np.isfinite(g).all(axis=1) & np.isfinite(t).all(axis=1)
    if not np.isfinite(f).all() or finite.mean() < 0.5:
        raise DivergenceError("the likelihood of a system is not finite")
    found = tests(chosen.features, f, s, g[finite], t[finite], problem.seed)
    return found, second


def _error_of_surrogate(problem: Problem, p: np.ndarray, residuals: np.ndarray | None) -> float:
    """Return the error of the surrogate in standard deviations of the noise at p."""
    if residuals is None:
        return 0.0
    deviations = noise_deviations(problem, p)
    return float(np.sqrt(((residuals[:, : len(deviations)] / deviations) ** 2).mean()))


def _work(problem: Problem) -> int:
    """Return what a system's likelihood costs: its random numbers times its observations."""
    return problem.law.d_omega * problem.data.shape[1]


def _with_systems(
    problem: Problem, observations: xr.Dataset, p: np.ndarray, residuals: np.ndarray | None
) -> list[ScoreTest]:
    """Return the tests, with the systems that alone make findings.

    A few systems far from the others are a fault of the data if all that is found vanishes in a fit
    without them. Otherwise the model is wrong, also there. Where a fit is dear they are only named.
    """
    found, squares = _tested(problem, observations, p, residuals)
    kept, without, rest, far = np.arange(len(problem.data)), p, found, list[ScoreTest]()
    most = _FAR if len(problem.data) * _work(problem) <= _REFITTED_WORK else 0
    while more := [each for each in rest if each.p_value < _LEVEL and each.system >= 0]:
        if len(far) >= most:
            break
        each = min(more, key=_order)
        far.append(replace(each, system=int(kept[each.system])))
        kept = np.delete(kept, each.system)
        others = problem.of_systems(kept)
        try:
            without, _ = maximum_likelihood(others, without, MarginalSettings())
            rest, _ = _tested(
                others,
                observations.isel({"system": kept}, missing_dims="ignore"),
                without,
                residuals,
            )
        except DivergenceError:
            break
    left = {each.feature.name for each in rest if each.p_value < _LEVEL}
    alone = bool(far) and not any(t.p_value < _LEVEL and t.feature.name in left for t in found)
    entries = observation_names(observations)
    told = []
    for each in found:
        if isinstance(pooled := each.feature.pooled, Largest):
            same = [t.system for t in far if t.feature.part == each.feature.part]
            systems = tuple(dict.fromkeys([each.system, *same])) if alone else (each.system,)
            where = ", ".join(f"system {pooled.names[n]}" for n in systems)
            if each.feature.part == "noise":
                where += f", {entries[int(squares[each.system].argmax()) % len(entries)]}"
            fault = alone and each.p_value < _LEVEL
            feature = replace(each.feature, fault=alone)
            each = replace(each, feature=feature, where=where, without=without if fault else None)
        told.append(each)
    return told


def _features(problem: Problem, p: np.ndarray, settings: MarginalSettings) -> np.ndarray:
    """Return the posterior means (N, k) of features of draws."""
    return likelihood_near(problem, p, settings).here.scores[:, len(p) :]


def _with_scores(
    problem: Problem, p: np.ndarray, settings: MarginalSettings, chosen: FeatureSet
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (N, k) and the scores (N, n) of the free parameters of all systems."""
    both = likelihood_near(problem, p, settings).here.scores
    means = both[:, len(p) :]
    scores = both[:, : len(p)]
    return chosen.of_systems(means, scores, problem), scores[:, problem.free]


def tests(
    features: Sequence[Feature],
    f: np.ndarray,
    s: np.ndarray,
    g: np.ndarray,
    t: np.ndarray,
    seed: int,
) -> list[ScoreTest]:
    """Return the tests from features and scores of systems.

    Parameters
    ----------
    features : sequence of Feature
    f, s : ndarray of shape (N, k), (N, n)
        Features and scores of the observed systems.
    g, t : ndarray of shape (M, k), (M, n)
        Features and scores of systems of the fitted model.
    """
    count = len(f)
    centre, of_scores = g.mean(axis=0), t.mean(axis=0)
    # Scores may have very different sizes.
    size = np.maximum(t.std(axis=0), 1e-300)
    t, s = (t - of_scores) / size, (s - of_scores) / size
    slopes = np.linalg.lstsq(t, g - centre, rcond=1e-8)[0]
    rest = g - centre - t @ slopes
    moved = (f - centre - s @ slopes).mean(axis=0)
    variance = rest.var(axis=0)
    paired = np.array([feature.pooled is not None for feature in features], dtype=bool)
    tested = ~paired & (variance > _LEAST_VARIANCE * g.var(axis=0))
    deviation = np.where(paired, g.std(axis=0), np.sqrt(variance))
    rng = generator(seed, "specification/resamples")
    rows = _samples(len(rest), count, _Scores.of(t, s.mean(axis=0)), rng)
    # The means of the simulated systems have an error of their own.
    null = _means(rest[:, tested] / deviation[tested], rows) * np.sqrt(1 + count / len(rest))
    seen, errors = moved[tested] / deviation[tested], 1 / (np.sqrt(count) * deviation[tested])
    theta = seen / deviation[tested]
    kept, columns = np.flatnonzero(tested).tolist(), [null]
    system: dict[int, int] = {}
    for k in np.flatnonzero(paired).tolist():
        pooled, v = features[k].pooled, deviation[k]
        if pooled is None or not v > 0 or (isinstance(pooled, SystemPairs) and not pooled.count):
            continue
        kept.append(k)
        if isinstance(pooled, Largest):
            away = pooled.distances(f[:, k])
            system[k] = int(away.argmax())
            largest = pooled.drawn(g[:, k], _blocks(rows), rng)
            sums = np.append(away.max(), largest)
            size, error = (f[system[k], k] - centre[k]) / v, 1.0
        else:
            values = [pooled.sums(f[None, :, k])]
            values += [pooled.sums(g[some, k]) for some in _blocks(rows)]
            # A variance between groups is not negative.
            sums = np.maximum(np.concatenate(values), -np.inf if pooled.sizes is None else 0.0)
            size, error = sums[0] / (pooled.count * v**4), 1 / (np.sqrt(pooled.count) * v**2)
        seen, columns = np.append(seen, sums[0]), [*columns, sums[1:, None]]
        theta, errors = np.append(theta, size), np.append(errors, error)
    adjusted = _adjusted(seen, np.hstack(columns))
    # In units of the scores' deviations, as the slopes.
    errors_of_p = np.sqrt(np.diag(np.linalg.pinv(np.atleast_2d(np.cov(t.T)))) / count)
    moves = -slopes / np.maximum(errors_of_p, 1e-300)[:, None]
    factor = float(ndtri(1 - _LEVEL / (2 * max(1, len(kept)))) + ndtri(_POWER))
    return [
        ScoreTest(
            features[i],
            float(theta[k]),
            float(errors[k]),
            float(adjusted[k]),
            bool(factor * errors[k] <= features[i].large),
            system.get(i, -1),
            moves=None if paired[i] or features[i].fault else moves[:, i] * theta[k],
        )
        for k, i in enumerate(kept)
    ]


@dataclass(frozen=True)
class _Scores:
    """Scores (M, n) of simulated systems, of unit covariance, and the mean of the observed ones."""

    each: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, t: np.ndarray, mean: np.ndarray) -> _Scores:
        """Return scores from those in other units, and of any rank."""
        values, vectors = np.linalg.eigh(np.cov(t.T).reshape(2 * t.shape[1:]))
        kept = values > 1e-8 * values.max(initial=0.0)
        white = vectors[:, kept] / np.sqrt(values[kept])
        return cls(t @ white, mean @ white)


def _samples(simulated: int, count: int, scores: _Scores, rng: np.random.Generator) -> np.ndarray:
    """Return samples (B, N) of simulated systems, with scores that are close to the observed."""
    rows = rng.integers(simulated, size=(max(_LEAST_DRAWN, _MOST_DRAWN // count), count))
    if count > _NORMAL:
        return rows
    distances = ((_mean_rows(scores.each, rows) - scores.mean) ** 2).sum(axis=1)
    return np.asarray(rows[np.argsort(distances, kind="stable")[:_CLOSEST]])


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield samples (b, N) of B samples, few enough for the memory."""
    yield from np.array_split(rows, 1 + rows.size // _MOST_DRAWN)


def _means(rest: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the means (B, k) of samples; means of many rows are normal."""
    if (count := rows.shape[1]) > _NORMAL:
        rng = np.random.default_rng(rows[0])
        root = np.linalg.cholesky(np.atleast_2d(np.cov(rest.T)) + 1e-12 * np.eye(rest.shape[1]))
        return rng.standard_normal((len(rows), rest.shape[1])) @ root.T / np.sqrt(count)
    return _mean_rows(rest, rows)


def _mean_rows(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the means (B, k) of the rows of x (M, k) that each of ``rows`` (B, N) names."""
    total = np.zeros((len(rows), x.shape[1]))
    for each in rows.T:
        total += x[each]
    return total / rows.shape[1]


def _adjusted(seen: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return two-sided p-values (k,), adjusted for their number.

    A side counts by its own tail, since the mean of a fourth power is far from symmetric. The
    observed values and each row of the null are ranked in the same way, among all of them.

    Parameters
    ----------
    seen : ndarray of shape (k,)
    null : ndarray of shape (B, k)
    """
    both = np.vstack([seen, null])
    ranks = np.column_stack([_from_the_end(column) for column in both.T])
    smallest = np.sort(ranks.min(axis=1))
    return np.asarray(np.searchsorted(smallest, ranks[0], side="right") / len(both))


def _from_the_end(values: np.ndarray) -> np.ndarray:
    r"""Return how many of the values (B,) are at least as far as each, on its side.

    Beyond the place u with the m-th rank, ranks would be equal in all columns. The tail is taken as
    exponential there, so that the rank of x is :math:`m e^{-(x - u) / s}` with the mean excess s.
    """
    return np.minimum(_from_above(values), _from_above(-values))


def _from_above(values: np.ndarray) -> np.ndarray:
    ordered = np.sort(values)
    ranks = (len(values) - np.searchsorted(ordered, values, side="left")).astype(float)
    tail = ordered[-max(2, round(_TAIL * len(values))) :]
    excess = float(tail.mean() - tail[0])
    if excess > 0:
        beyond = values > tail[0]
        ranks[beyond] = len(tail) * np.exp(-(values[beyond] - tail[0]) / excess)
    return ranks
