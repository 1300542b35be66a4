"""The result of a fit, or of a study of the workflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.api.folder import Stores, write_result
from popinv.api.functions import KIND, OwnFunction
from popinv.api.tables import checks, summary
from popinv.errors import ConfigError, DataError
from popinv.forward.section import ForwardSection, forward_section
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.judgement.answer import StudyAnswer
from popinv.judgement.files import ANSWER_FILE, METRICS_FILE
from popinv.judgement.judgements import judgements
from popinv.judgement.verdict import Judgement
from popinv.population.kinds import law_section, noise_section
from popinv.population.laws.base import Law
from popinv.population.model import Model
from popinv.population.noise.terms import Noise
from popinv.store.whole_files import discard
from popinv.surrogate.artefact import surrogate_of
from popinv.workflow.places import at_places_of

if TYPE_CHECKING:
    from popinv.api.figures import Plots
    from popinv.inference.uncertainty.law_posterior import LogPrior
    from popinv.surrogate.simulator import TrainedSurrogate


class Result:
    """The recovered law and noise, with all intermediate results.

    It comes from :func:`popinv.fit` or :func:`popinv.load`.

    Attributes
    ----------
    artefacts : mapping of str to Dataset
        The results of the stages, by name: ``observations``, ``check`` (the record of solves),
        ``population`` (the answer), ``distance``, ``pseudo_likelihood``, ``likelihood``, and
        others; docs/results.md describes each.
    answer : StudyAnswer
        The record of the answer: estimates, tests and costs.
    name : str
        Name of the study; empty for a fit.
    """

    def __init__(
        self,
        artefacts: Mapping[str, xr.Dataset],
        answer: StudyAnswer,
        *,
        simulator: Callable[..., Any] | None = None,
        calibration: Mapping[str, Any] | None = None,
        name: str = "",
    ) -> None:
        self.artefacts, self.answer, self.name = artefacts, answer, name
        self._function, self._calibration = simulator, calibration

    @property
    def population(self) -> xr.Dataset:
        """The answer: ``law``, ``noise``, the ends of their intervals, ``noise_covariance``."""
        return self.artefacts["population"]

    @property
    def observations(self) -> xr.Dataset:
        """The observations as the estimators see them."""
        return self.artefacts["observations"]

    @cached_property
    def metrics(self) -> dict[str, float | int | str]:
        """The numbers of the result, as the workflow writes them to ``metrics.json``."""
        return self.answer.metrics()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The sections of the model, as a study's configuration has them."""
        found: dict[str, Any] = json.loads(self.population.attrs["config"])
        return found

    @cached_property
    def model(self) -> Model:
        """The sections of forward model, law and noise as objects."""
        law, noise = law_section(self.config["law"]), noise_section(self.config["noise"])
        return Model(self._forward(), law, noise)

    def _forward(self) -> ForwardSection:
        given = self.config["forward"]
        if given["kind"] != KIND:
            return forward_section(given)
        section = OwnFunction.model_validate(given)
        return section if self._function is None else section.having(self._function)

    @cached_property
    def law(self) -> Law:
        """The family of laws, which maps natural values to unconstrained ones and back."""
        law: Law = self.model.law.law(self.model.forward)
        return law

    @cached_property
    def noise(self) -> Noise:
        """The family of noises of one replicate, which does the same."""
        covariates = self.observations.get("covariate_name")
        names = () if covariates is None else tuple(map(str, covariates.values))
        return self.model.noise.model(self.model.forward.observed(0), names)

    @cached_property
    def simulator(self) -> TrainedSurrogate:
        """The differentiable simulator of the estimators: the surrogate, or the function itself.

        Raises
        ------
        ConfigError
            If it is a function that was not stored.
        DataError
            If the result has no surrogate, but needs one.
        """
        if "surrogate" in self.artefacts:
            held = at_places_of(self.artefacts["surrogate"], self.model.forward)
            found: TrainedSurrogate = surrogate_of(held)
            return found
        forward = self.model.forward
        if not isinstance(forward, OwnFunction):
            raise DataError("the result has no surrogate: rounds/*/surrogate.zarr.zip is missing")
        return forward.exact()

    @cached_property
    def problem(self) -> Problem:
        """Data, simulator, law and noise, as the estimators see them."""
        seed = int(self.population.attrs["seed"])
        return descent_problem(
            self.model, self.observations, self.simulator, seed, "figures"
        ).at_all_places

    # --- tables ---------------------------------------------------------------------------------

    def summary(self) -> pd.DataFrame:
        """Return the recovered parameters, one a row.

        Returns
        -------
        DataFrame
            The index holds the names; names of the noise have the prefix ``noise_``. ``estimate``,
            ``standard_error``, ``lower`` and ``upper`` (the 95 % interval) are on the natural
            scale; ``units`` is "1" for a parameter without a unit; ``kind`` is "law" or "noise";
            ``description`` describes the parameter. The standard error is NaN for a parameter at
            its boundary, and for a summary of a free-form law. A synthetic study has a column
            ``true``.
        """
        return summary(self)

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """The checks of the answer, as the report has them."""
        return judgements(self.answer, self._calibration)

    def check(self) -> pd.DataFrame:
        """Return the checks of the answer, as the report has them.

        Returns
        -------
        DataFrame
            The index holds the name of each check; ``verdict`` is "good", "doubt" or "neutral",
            ``result`` states it in a few words, ``finding`` in a sentence, and ``meaning`` explains
            it.
        """
        return checks(self)

    def influence(self, tolerance: float = 0.01) -> pd.DataFrame:
        """Return how far the answer moves without each system, to first order.

        Parameters
        ----------
        tolerance : float
            Part of a shift, in standard errors, that a short fit may leave.

        Returns
        -------
        DataFrame
            The index holds the names of the systems, or their numbers, the most influential first.
            ``size [standard errors]`` is the length of the shift, ``steps to forget`` the
            steps of a short fit that forgets the system, and each parameter has its shift in
            standard errors and its natural value without the system.

        Raises
        ------
        DataError
            If the noise has too many parameters for the influence to be known, or if there is one
            system, as most often with crossed levels.
        """
        from popinv.api.tables import influence

        return influence(self, tolerance)

    def add(
        self,
        data: Any,
        known: Mapping[str, Any] | pd.DataFrame | None = None,
        *,
        inputs: str | Path | pd.DataFrame | None = None,
        tests: bool | None = None,
        cores: int = 1,
    ) -> Result:
        """Return the result with further systems, from this result on.

        The surrogate is kept, and checked by solves at the added systems. ``artefacts["batch"]`` of
        the new result compares them with the population
        (:func:`popinv.additions.batch.batch_dataset`).

        Parameters
        ----------
        data : array_like, DataFrame, DataArray, Dataset or path
            The added systems, in the form of the data of the fit; or a file of the form of the
            study's own.
        known : mapping of str to array_like, optional
            Design and covariates of the systems of an array.
        inputs : DataFrame or path, optional
            A table of their inputs over time, if the data do not hold them.
        tests : bool, optional
            As for :func:`popinv.fit`; by default, if more than 5 % of the systems are added. The
            added systems are compared with the population in any case.
        cores : int
            Number of processes that share the work.

        Returns
        -------
        Result

        Raises
        ------
        DataError
            If the data do not fit the study, hold a system that is in it, or lie where the
            surrogate is not accurate; or if the answer is not by the likelihood.
        """
        from popinv.api.adding import added

        return added(self, data, known, inputs, tests, cores)

    # --- pictures and draws ---------------------------------------------------------------------

    @property
    def plot(self) -> Plots:
        """The figures: ``plot()`` draws all, ``plot("law")`` some, ``plot.individuals()`` systems.

        See :class:`popinv.api.figures.Plots`.
        """
        from popinv.api.figures import Plots

        return Plots(self)

    def posterior(self, **settings: Any) -> xr.Dataset:
        """Return the parameters of each system, given its observations and the recovered law.

        A study with the use ``posterior`` has stored them. Otherwise, and with settings, they are
        sampled now.

        Parameters
        ----------
        **settings
            Keys of the use ``posterior``: ``law_and_noise``, ``effective``, ``chains``,
            ``most_moves`` and ``kept_draws``.

        Returns
        -------
        Dataset
            ``mean``, ``deviation``, ``lower``, ``median`` and ``upper`` (the 95 % interval) by
            system and parameter, and draws ``z``. The coordinate ``system`` has the names of the
            data.

        Raises
        ------
        ConfigError
            If there is no such setting, or the simulator was not stored.
        """
        from popinv.api.individuals import posterior_of

        return posterior_of(self, settings)

    def predict(
        self,
        data: Any,
        *,
        at: Sequence[float | str] | None = None,
        through: str = "surrogate",
        known: Mapping[str, Any] | pd.DataFrame | None = None,
        seed: int | None = None,
        cores: int = 1,
        **settings: Any,
    ) -> xr.Dataset:
        """Return the parameters and the observations of new systems, without a refit.

        Parameters
        ----------
        data : path, DataFrame, mapping, DataArray, Dataset or array_like
            Systems in the form of the study's own table, with any of its sensors or times. Of a
            system of which only the design is known, the population alone is predicted.
        at : sequence of float or str, optional
            Times or sensors to predict; by default all of the study and of the data. A function
            that takes times gives any time, other simulators their own.
        through : {"surrogate", "solver"}
            The solver takes the surrogate's place for the kept draws, ``kept_draws`` of each
            system. Otherwise the surrogate's errors on fresh solves are part of the answer.
        known : mapping of str to array_like, optional
            Design and covariates of the systems of an array.
        seed : int, optional
            By default the study's.
        cores : int
            Number of processes; it does not change the numbers.
        **settings
            As for :meth:`posterior`.

        Returns
        -------
        Dataset
            By system and parameter as :meth:`posterior`; by system and observation the 95 %
            intervals ``signal_lower``, ``signal_upper`` without noise, ``observed_lower``, ...
            with noise, and ``population_lower``, ... of all systems with this design; ``p_value``
            of each system: the share of the population that is as far out. The draws ``z``,
            ``signal`` and ``observed`` have the dimensions (chain, draw, ...) of ArviZ.

        Raises
        ------
        DataError
            If the data have a column, time or unit that the study does not have.
        ConfigError
            If a setting is not known, or other places cannot be predicted.
        """
        from popinv.api.predictions import predict_of

        return predict_of(
            self,
            data,
            at=at,
            through=through,
            known=known,
            seed=seed,
            cores=cores,
            settings=settings,
        )

    def posterior_of_law(
        self,
        prior: LogPrior | None = None,
        chains: int = 4,
        draws: int = 250,
        warmup: int = 200,
        predictive: bool | None = None,
    ) -> xr.DataTree:
        """Return the posterior of law and noise given all data, as a DataTree that ArviZ reads.

        It describes what few systems determine without a normal law of the error, also where a
        standard deviation may be zero. A study with the use ``law_posterior`` has stored it.
        Otherwise, and with other settings, it is sampled now. It needs numpyro, the extra
        ``bayes``, and a marginal likelihood; see :mod:`popinv.inference.uncertainty.law_posterior`.

        Parameters
        ----------
        prior : LogPrior, optional
            An object with ``value(p, jacobian)`` and ``gradient(p, jacobian)``. By default the
            stated priors count; without one, means are flat, positive parameters half-Student-t
            with 4 degrees of freedom and 2.5 times their start as scale, and correlations uniform
            (:func:`popinv.population.priors.stated.posterior_prior`).
        chains, draws, warmup : int
            Chains, their draws, and the draws of each before these.
        predictive : bool, optional
            As for :meth:`to_datatree`.

        Returns
        -------
        DataTree
            ``posterior`` and ``prior`` hold the parameters along (chain, draw), on the natural
            scale; ``prior`` leaves out parameters with a flat prior. ``log_likelihood`` holds the
            log likelihood of each system, and ``sample_stats`` the split R-hat and the effective
            sample size of each parameter. The other groups are those of :meth:`to_datatree`.

        Raises
        ------
        ConfigError
            If numpyro is not installed, the simulator was not stored, or the default prior has no
            form for the noise.
        DivergenceError
            If the likelihood cannot be computed at the estimate.

        Warns
        -----
        UserWarning
            If the chains have not converged, or their effective sample size is small.
        """
        from popinv.api.law_posterior import law_posterior_of
        from popinv.inference.uncertainty.law_posterior import ChainSettings

        settings = ChainSettings(chains, draws, warmup)
        return law_posterior_of(self, prior, settings, predictive)

    def to_datatree(self, predictive: bool | None = None) -> xr.DataTree:
        """Return draws and observations as a DataTree, which ArviZ reads.

        Parameters
        ----------
        predictive : bool, optional
            Whether to draw observations of the fitted model. By default it is done if it is cheap,
            and if the result has its simulator.

        Returns
        -------
        DataTree
            ``posterior`` holds every parameter along (chain, draw), on the natural scale: draws
            about the estimate. They are a confidence distribution, and not a
            posterior of a prior, which :meth:`posterior_of_law` samples.
            ``posterior_predictive`` and ``observed_data`` hold the observations by system, place
            and time; ``constant_data`` holds the known quantities of the systems.
        """
        from popinv.inference.answer.stated_values import read_draws
        from popinv.population import datatree

        forward, observations, population = self.model.forward, self.observations, self.population
        drawn = [population[f"{part}_draws"].values for part in ("alpha", "gamma")]
        posterior = read_draws(self.model, self.law, self.noise, *drawn)
        return datatree.tree_of(
            {
                "posterior": datatree.parameter_draws(*posterior, datatree.ABOUT_ESTIMATE),
                "posterior_predictive": self.predicted(predictive),
                "observed_data": datatree.observed_data(observations, forward),
                "constant_data": datatree.constant_data(observations, forward),
            },
            {"estimator": str(self.population.attrs["estimator"])},
        )

    def predicted(self, wanted: bool | None = None) -> xr.Dataset | None:
        """Return observations of the fitted model at the draws about the estimate.

        Parameters
        ----------
        wanted : bool, optional
            By default they are drawn if it is cheap, and if the result has its simulator.
        """
        from popinv.inference.checks.fitted_samples import CHEAP, predicted_draws

        drawn = [self.population[f"{part}_draws"].values for part in ("alpha", "gamma")]
        p = np.concatenate(drawn, axis=1)
        size = len(p) * self.observations["y"].size
        if wanted is False or (wanted is None and size > CHEAP):
            return None
        try:
            problem = self.problem
        except (ConfigError, DataError):
            if wanted:
                raise
            return None
        from popinv.inference.uncertainty.surrogate_bias import solver_residuals
        from popinv.population.datatree import predictive_data

        residuals = solver_residuals(problem, self.artefacts["check"])
        samples = predicted_draws(problem, p, residuals)
        return predictive_data(samples, self.observations, self.model.forward)

    # --- files ----------------------------------------------------------------------------------

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write the result into a folder, in the layout of the workflow.

        :func:`popinv.load` reads it again, and ``popinv show`` its numbers. A function is not
        stored.

        Parameters
        ----------
        folder : path
            It is made if it does not exist.
        overwrite : bool
            Whether a result in the folder may be replaced.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        DataError
            If the folder holds something else already, or cannot be written.
        """
        folder, artefacts = Path(folder), self.artefacts
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            if not overwrite:
                raise DataError(
                    f"{folder}: is there already; choose another folder, or replace the result in "
                    "it by overwrite=True"
                )
            # A result that was loaded from the same folder is read before it is replaced.
            artefacts = dict(artefacts)
            for name in (ANSWER_FILE, METRICS_FILE):
                discard(folder / name)
            for path in Stores(folder).paths:
                discard(path)
        return write_result(folder, artefacts, self.answer)

    # --- what a session shows -------------------------------------------------------------------

    def __repr__(self) -> str:
        from popinv.api.showing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from popinv.api.showing import as_html

        return as_html(self)
