"""Fit law and noise to a pool of observations, in one call."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from popinv.api.data import given_data
from popinv.api.folder import Stores, calibration_in, check_finished
from popinv.api.functions import KIND, OwnFunction
from popinv.api.result import Result
from popinv.api.stages import run_stages, steps
from popinv.api.study import Wanted, known_names, reading_keys, study_of
from popinv.errors import ConfigError, require_known
from popinv.inference.estimators.settings import Estimator
from popinv.regular_files import absolute
from popinv.threads import fixed_threads
from popinv.workers import processes

# Solves that a function given again must repeat, and the share of the largest answer by which it
# may differ: torch adds in another order with another number of threads.
_COMPARED, _ROUNDING = 3, 1e-6


def fit(
    data: Any,
    simulator: Callable[..., Any] | Mapping[str, Any] | str,
    *,
    law: Mapping[str, Any] | str | None = None,
    noise: Mapping[str, Any] | str | None = None,
    parameters: Sequence[str | Mapping[str, str]] | None = None,
    design: Sequence[str | Mapping[str, str]] = (),
    inputs: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | pd.DataFrame | None = None,
    times: Sequence[float] | None = None,
    grid: int | None = None,
    observations: Mapping[str, Any] | None = None,
    vectorised: bool = True,
    stochastic: bool = False,
    system_column: str | None = None,
    time_column: str | None = None,
    value_column: str | None = None,
    label_column: str | None = None,
    replicate_column: str | None = None,
    estimator: Estimator | Literal["reml"] = "auto",
    active_learning: Mapping[str, Any] | None = None,
    surrogate: Mapping[str, Any] | None = None,
    descent: Mapping[str, Any] | None = None,
    polish: Mapping[str, Any] | None = None,
    assessment: Mapping[str, Any] | None = None,
    tests: bool = True,
    seed: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    cores: int = 1,
    progress: bool = True,
    verbose: bool = False,
    **reading: Any,
) -> Result:
    r"""Recover the law of the parameters and the law of the noise from a pool of observations.

    Each of many systems of one kind was observed once,

    .. math:: y^{(n)} = G(z^{(n)}) + \xi^{(n)}, \qquad z^{(n)} \sim \mu(\alpha), \qquad
        \xi^{(n)} \sim N(0, \Gamma(\gamma)).

    The simulator is G. The result holds alpha and gamma with their intervals.

    Parameters
    ----------
    data : array_like of shape (n, d_y), DataFrame, DataArray or Dataset
        The observations. NaN is a value that was not observed. A DataFrame has a row for each
        system, or, with a ``value_column``, a row for each observation. An object of xarray has a
        dimension ``system``, and ``time`` where there are times; names and units come from it.
    simulator : callable, mapping or str
        A function from parameters (n, d_z), one system a row, to observations (n, d_y). It may take
        ``design`` (n, k) and ``times`` as further arguments. If it takes and returns tensors of
        torch, the estimators go through the function itself. Otherwise a surrogate is trained on
        its output. Or the section ``forward`` of a study, such as ``{"kind": "umbridge", ...}``.
        ``times`` are all times (k,), or the times of each system (n, m) if no system has half of
        all times and the function of tensors accepts this shape.
    law, noise : mapping or str
        The sections ``law`` and ``noise`` of a study, or the name of a kind that has defaults. A
        function needs a law; the noise is ``diagonal`` by default. With ``law["levels"]``, columns
        of a long table name the levels, and each group of the outermost one is a system.
    parameters : sequence of str or mapping, optional
        The parameters of a function in the order in which it takes them, ``"V [L]"`` or ``{"name":
        "V", "units": "L", "long_name": ...}``. By default the parameters of ``law["start"]``.
    design : sequence of str or mapping
        Known quantities of each system, passed to the function: columns of a DataFrame, variables
        of a Dataset, or entries of ``known``.
    inputs : mapping, optional
        Inputs of each system over time, such as doses or rain: the keys of the section
        ``forward.inputs``. In the place of ``file`` stands ``table``, a DataFrame; without both,
        the data are the table. A function takes them as ``inputs``.
    known : mapping of str to array_like, optional
        Design and covariates of the systems of an array, each of shape (n,).
    times : sequence of float, optional
        The times of the observations. A long table and xarray have their own; so has a wide table
        whose columns are named by numbers, if the function takes ``times``.
    grid : int, optional
        Number of equally spaced times to which the times of a long table are rounded, by at most
        ``time_tolerance``.
    observations : mapping, optional
        More about the observations of a function: ``name``, ``units``, ``long_name``,
        ``coordinates``, ``labels``, ``logarithm``, and the other keys of ``forward.observations``.
    vectorised : bool
        False if the function takes one system, of shape (d_z,).
    stochastic : bool
        True if the function is random: two calls with the same parameters differ. A surrogate then
        learns mean and covariance of its answer, and each observation is one answer with
        measurement noise. The function draws its random numbers from ``seeds`` (n,), a whole number
        for each system, if it takes this argument.
    system_column, time_column, value_column, label_column, replicate_column : str, optional
        Columns of a DataFrame, as in the section ``observations`` of a study.
    estimator : {"auto", "likelihood", "reml", "pseudo_likelihood", "distance"}
        "reml" is the likelihood with ``polish={"restricted": True}``: restricted maximum
        likelihood, for a normal law of few systems.
    active_learning, surrogate, descent, polish, assessment : mapping, optional
        Further sections of a study.
    tests : bool
        Whether to test the parts of the model, with all systems and without a refit, and to compare
        the answer with the estimate of the distance. This may take most of the time.
    seed : int
        The same seed gives the same numbers.
    device : {"auto", "cpu", "cuda"}
        Where a surrogate is trained.
    cores : int
        Number of processes that share the work; it does not change the results. The processes are
        forks of this one: a function that uses threads of its own, as JAX does, needs 1.
    progress : bool
        Whether to show a bar on standard error.
    verbose : bool
        Whether to print what the stages print.
    **reading
        Further keys of the section ``observations``: ``noise_scale_column``, ``ignored_columns``,
        ``place_columns``, ``time_tolerance``, ``missing_values``, ``censored_below``,
        ``censored_above``, ``not_below``, ``not_above``, ``censoring_column``, ``limit_column``,
        ``replicates``, ``heldout_fraction``. Limits may be arrays of the shape of the observations.

    Returns
    -------
    Result

    Raises
    ------
    ConfigError
        With everything that is wrong with the arguments.
    DataError
        If the data have the wrong form, or do not fit the simulator.
    SolverError
        If the simulator cannot be called, or fails too often.
    DivergenceError
        If no estimator finishes.

    Examples
    --------
    >>> import numpy as np, torch
    >>> times = np.linspace(0, 2, 5)
    >>> rng = np.random.default_rng(1)
    >>> rates = np.exp(rng.normal(0.2, 0.3, size=(40, 1)))
    >>> data = np.exp(-rates * times) + 0.02 * rng.normal(size=(40, 5))
    >>> def decay(z, times):
    ...     return torch.exp(-z * torch.as_tensor(times))
    >>> result = fit(
    ...     data,
    ...     decay,
    ...     law={"kind": "lognormal", "start": {"rate": {"mean": 0.0, "standard_deviation": 0.5}}},
    ...     noise="isotropic",
    ...     times=times,
    ... )  # doctest: +SKIP
    """
    require_known(estimator, (*get_args(Estimator), "reml"), f"estimator: got '{estimator}'")
    _check_levels(data, law)
    if estimator == "reml":
        estimator, polish = "likelihood", {**(polish or {}), "restricted": True}
    wanted = Wanted(
        simulator=simulator,
        law=_section(law),
        noise=_section(noise),
        parameters=parameters,
        design=design,
        inputs=inputs,
        observations=observations or {},
        vectorised=vectorised,
        stochastic=stochastic,
        sections={
            "estimator": estimator,
            "active_learning": active_learning,
            "surrogate": surrogate,
            "descent": descent,
            "polish": polish,
            "assessment": assessment,
        },
        seed=seed,
    )
    columns = {
        "system_column": _system_column(system_column, wanted.law),
        "time_column": time_column,
        "value_column": value_column,
        "label_column": label_column,
        "replicate_column": replicate_column,
        **reading_keys(reading),
    }
    quiet = nullcontext() if verbose else redirect_stdout(io.StringIO())
    with quiet, fixed_threads(), processes(cores):
        given = given_data(data, columns, known_names(wanted), known, times, grid)
        study, seen = study_of(wanted, given)
        count, hidden = steps(study), not progress
        with tqdm(total=count, leave=False, disable=hidden, file=sys.stderr) as bar:
            for told in [] if hidden else _of_the_table(seen):
                bar.write(f"popinv: {told}", file=sys.stderr)
            begun: list[str] = []

            def say(what: str) -> None:
                # The reported step begins, and the step before it is done.
                bar.update(min(1, len(begun)))
                begun.append(what)
                bar.set_description(what)

            artefacts, answer = run_stages(study, seen, device, say, tests)
            bar.update()
    function = simulator if callable(simulator) else None
    return Result(artefacts, answer, simulator=function)


def _of_the_table(seen: xr.Dataset) -> list[str]:
    """Return what is said of the observations before a fit."""
    return [seen.attrs[name] for name in ("values", "equal_labels") if name in seen.attrs]


def load(folder: str | Path, simulator: Callable[..., Any] | None = None) -> Result:
    """Open a study that the workflow has finished, or a saved result.

    Parameters
    ----------
    folder : path
        Such as ``results/my_study``.
    simulator : callable, optional
        The function of a fit that needed no surrogate. The function is not stored. Figures and
        predictions need it; tables and checks do not.

    Returns
    -------
    Result

    Raises
    ------
    DataError
        If there is no finished study in the folder, or a store is damaged.
    ConfigError
        If a simulator is given to a result that does not take one, or if its answers are not those
        at the fit, for a few parameters that are stored.
    """
    answer = check_finished(folder)
    name = absolute(folder).name
    result = Result(
        Stores(folder),
        answer,
        simulator=simulator,
        calibration=calibration_in(folder),
        name=name,
    )
    if simulator is not None and result.config["forward"]["kind"] != KIND:
        kind = result.config["forward"]["kind"]
        raise ConfigError(
            f"{folder}: its simulator is the forward model '{kind}', not a function; leave "
            "'simulator' out"
        )
    if simulator is not None:
        _check_function(result, folder)
    return result


def _check_function(result: Result, folder: str | Path) -> None:
    """Refuse a function whose answers are not those that the result was made with.

    The answers of a random simulator are not compared.
    """
    forward = result.model.forward
    assert isinstance(forward, OwnFunction)
    if "check" not in result.artefacts or forward.is_random() or forward.takes_seeds():
        return
    solves = result.artefacts["check"].isel(sample=slice(_COMPARED))
    z, before = solves["z"].values, solves["y"].values
    now = forward.model(int(result.population.attrs["seed"])).solve(z).observations
    largest = np.nanmax(np.abs(before), axis=1, keepdims=True, initial=np.finfo(float).tiny)
    differs = np.abs(now - before) > _ROUNDING * largest
    for i, j in np.argwhere(differs | (np.isnan(now) != np.isnan(before)))[:1]:
        names = ", ".join(str(name) for name in result.artefacts["check"]["parameter"].values)
        raise ConfigError(
            f"{folder}: the simulator is not that of the result: for ({names}) = "
            f"({', '.join(f'{x:.6g}' for x in z[i])}) its observation {j + 1} is {now[i, j]:.6g}, "
            f"but it was {before[i, j]:.6g} at the fit. Give the same function, or fit again"
        )


def _system_column(given: str | None, law: Mapping[str, Any] | None) -> str | None:
    """Return the column of the systems; the outermost level of a law tells them apart too."""
    if given is not None or not law or not law.get("levels"):
        return given
    levels = law["levels"]
    return next(iter(levels if isinstance(levels, Mapping) else levels[0]))


def _check_levels(data: Any, law: Mapping[str, Any] | str | None) -> None:
    """Refuse levels of data without columns of labels."""
    levels = isinstance(law, Mapping) and law.get("levels")
    if levels and not isinstance(data, pd.DataFrame):
        raise ConfigError(
            "law.levels: columns of a table name the levels; give a DataFrame with these columns, "
            "and a row for each member, or for each observation with 'value_column'"
        )


def _section(given: Mapping[str, Any] | str | None) -> Mapping[str, Any] | None:
    return {"kind": given} if isinstance(given, str) else given
