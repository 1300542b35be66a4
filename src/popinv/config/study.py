"""The whole configuration: the studies and their common keys."""

from __future__ import annotations

import re
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from popinv.config.evidence import Evidence
from popinv.config.numerics import ActiveLearning, Assessment
from popinv.config.observations import Observations, SyntheticObservations
from popinv.forward.external.files import simulator_hash
from popinv.forward.kinds import Forward
from popinv.inference.estimators.settings import (
    DescentSettings,
    Estimator,
    PolishSettings,
    wants_likelihood,
)
from popinv.methods.sections import Downstream, StudyDownstream
from popinv.observation_files.added_tables import with_added
from popinv.observation_files.section import AddedTables
from popinv.population.kinds import Law, Noise
from popinv.population.laws.section import LawSection
from popinv.population.noise.section import NoiseSection
from popinv.sections.base import CountOrZero, Given, NonNegative, Section
from popinv.sections.outside import is_outside
from popinv.surrogate.section import SurrogateSettings

# Folders beside the studies' own.
RESERVED_NAMES = ("downstream", "report", "benchmarks", "comparisons")
# File systems allow 255, and other names are made from it. A whole path has at most 4096.
_LONGEST_NAME = 100
# Of the folder of results. Snakemake walks up from each file through all its folders.
_LONGEST_PATH = 200
# The resources of jobs bound the time of a solve; it takes about a fifth of that bound.
_OF_BOUND = 0.2


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise PydanticCustomError(
            "study_name",
            "a study's name is the name of its folder: letters, digits, - and _, beginning with a "
            "letter or a digit",
        )
    if len(name) > _LONGEST_NAME:
        raise PydanticCustomError(
            "study_name", "a study's name has at most {most} characters", {"most": _LONGEST_NAME}
        )
    if name.lower() in RESERVED_NAMES:
        raise PydanticCustomError(
            "study_name",
            "this name is taken by a folder of the workflow ({names}); choose another",
            {"names": ", ".join(RESERVED_NAMES)},
        )
    return name


def _inside_working_directory(folder: str) -> str:
    path = PurePath(folder)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise PydanticCustomError(
            "results", "it must be a folder inside the working directory, such as 'results'"
        )
    if not re.fullmatch(r"[A-Za-z0-9._/-]+", folder):
        raise PydanticCustomError(
            "results", "the name of a folder holds letters, digits, and the signs . _ - /"
        )
    if any(part.startswith("-") for part in path.parts):
        raise PydanticCustomError(
            "results", "a name that begins with - is taken for an option by other programs"
        )
    if any(part.startswith(".") for part in path.parts):
        raise PydanticCustomError(
            "results", "hidden folders belong to other programs, such as .git and .snakemake"
        )
    if len(folder) > _LONGEST_PATH:
        raise PydanticCustomError(
            "results",
            "this has {given} characters, and at most {most} are allowed; give a shorter path, "
            "or a link to the folder",
            {"given": len(folder), "most": _LONGEST_PATH},
        )
    return path.as_posix()


class Study(Section):
    """One population: its forward model, its laws, its observations, and the computation."""

    seed: CountOrZero | None = Field(
        default=None,
        description="Seed of this study.",
        json_schema_extra={"x-default": "the top-level seed"},
    )
    forward: Forward = Field(description="The forward model.")
    law: Annotated[Law, Given] = Field(
        default_factory=lambda values: values["forward"].default_law(),
        description="The law of the parameters over the population.",
        json_schema_extra={
            "x-default": "the law of the forward model; needed for your own simulator"
        },
    )
    noise: Noise = Field(
        default_factory=lambda values: values["forward"].default_noise(),
        description="The family of noise covariances.",
        json_schema_extra={"x-default": "the noise of the forward model, or `{kind: diagonal}`"},
    )
    observations: Observations = Field(description="The source of the observations.")
    active_learning: ActiveLearning = Field(
        default_factory=ActiveLearning,
        description="The rounds of solves that train the surrogate.",
    )
    surrogate: SurrogateSettings = Field(
        default_factory=SurrogateSettings,
        description="The network or the Gaussian process that replaces the forward model.",
    )
    descent: DescentSettings = Field(
        default_factory=DescentSettings, description="The descent on law and noise."
    )
    estimator: Estimator = Field(
        default="auto",
        description=(
            "Method of the answer: the descent (`distance`), the Gaussian `pseudo_likelihood`, or "
            "the marginal `likelihood`. `auto` takes the last of these whose diagnostics allow its "
            "use.\n\n"
            "The results always report the descent and the pseudo-likelihood."
        ),
    )
    polish: PolishSettings = Field(
        default_factory=PolishSettings,
        description="Pseudo-likelihood and likelihood after the descent.",
    )
    assessment: Assessment = Field(
        default_factory=Assessment, description="The computations that judge the answer."
    )
    evidence: Evidence = Field(
        default_factory=Evidence,
        description="The computations that judge the method where the truth is known.",
    )
    downstream: StudyDownstream = Field(
        default_factory=StudyDownstream, description="Further methods that use the answer."
    )

    def synthetic(self) -> SyntheticObservations:
        """Return the source of observations that are drawn from a known truth.

        Raises
        ------
        TypeError
            If they come from a file.
        """
        if not isinstance(self.observations, SyntheticObservations):
            raise TypeError(
                f"the observations come from {self.observations.file} and have no truth"
            )
        return self.observations

    def is_synthetic(self) -> bool:
        """Return whether the observations are drawn from a known truth."""
        return isinstance(self.observations, SyntheticObservations)

    def additions(self) -> list[AddedTables]:
        """Return the files of systems that have joined the study since its first run."""
        observations = self.observations
        return [] if isinstance(observations, SyntheticObservations) else observations.added()

    def joined(self, additions: int | None = None) -> Study:
        """Return the study whose forward model is observed at the places of added systems, too.

        A surrogate is observed where it was trained.

        Parameters
        ----------
        additions : int, optional
            The first additions alone.
        """
        forward, section = self.forward, self.observations
        if isinstance(section, SyntheticObservations) or self.surrogate.kind != "none":
            return self
        for added in section.added()[:additions]:
            forward = with_added(forward, section, added.file, added.inputs)
        return self if forward is self.forward else self.model_copy(update={"forward": forward})

    def first_observations(self) -> Observations:
        """Return the source of the observations without additions, on which the rounds depend."""
        first: Observations = self.observations
        return first.replace(additions=[]) if self.additions() else first

    def true_law(self) -> LawSection:
        """Return the law of a synthetic study with the true values in the place of the start.

        The spread of the first design plays no part in the truth. It is the same here for all
        studies, so that a change of it draws no new population.
        """
        true = self.synthetic().truth.law
        law: LawSection = self.law.replace(start=true, spread=0.0, prior=None)
        return law

    def law_without_prior(self) -> LawSection:
        """Return the law for what no prior affects, so that a change of the prior leaves it."""
        return self.law.model_copy(update={"prior": None})

    def noise_without_prior(self) -> NoiseSection:
        """Return the noise for what no prior affects."""
        return self.noise.model_copy(update={"prior": None})

    def true_noise(self) -> NoiseSection:
        """Return the noise family with which a synthetic study is observed."""
        return self.synthetic().truth.noise_model or self.noise

    def has_known(self) -> bool:
        """Return whether solves stand for observed systems.

        They do if design or covariates are known of each system, or if systems have members.
        """
        known = self.forward.design() or self.law.covariate_names() or self.law.level_names()
        return bool(known)

    def known_distributions(self) -> SyntheticObservations | None:
        """Return the section that says how known quantities are spread, None without any."""
        return self.synthetic() if self.has_known() else None

    def input_files(self, addition: int = 0) -> list[str]:
        """Return the file of the inputs over time, of an addition if one is given, if any."""
        if addition:
            inputs = self.additions()[addition - 1].inputs
            return [] if inputs is None else [inputs]
        timed = self.forward.timed_inputs()
        return [] if timed is None else [timed.file]

    def simulator_hash(self) -> str:
        """Return a hash of the files of the user's own simulator; it is constant without one.

        Snakemake does not see these files: as a parameter of the rule that solves, the hash repeats
        the solves when they change.
        """
        return simulator_hash(self.forward.source_files())

    def ranks(self) -> int:
        """Return the number of processes that solve each system together."""
        return int(getattr(self.forward, "ranks", 1))

    def seconds_per_solve(self) -> float:
        """Return the approximate time of a solve, the same on every machine."""
        stated = self.polish.seconds_per_solve
        return _OF_BOUND * self.forward.cost().seconds if stated is None else float(stated)

    def has_sampling_error(self) -> bool:
        """Return whether repeated solves are to measure the sampling error of the forward model."""
        return bool(self.assessment.repeats) and self.forward.has_sampling_error()

    def has_states(self) -> bool:
        """Return whether the forward model can show whole states; see `popinv.forward.states`."""
        return not is_outside(self.forward.kind) and self.forward.has_states()

    def last_round(self) -> int:
        """Return the number of the last round of active learning; the first is 0."""
        return self.active_learning.rounds - 1

    def candidates(self) -> int:
        """Return the number of draws among which a surrogate chooses the next solves, 0 for none.

        A Gaussian process chooses the solves of later rounds by its own uncertainty.
        """
        return self.surrogate.candidates if self.surrogate.kind == "gaussian_process" else 0

    def wants_likelihood(self) -> bool:
        """Return whether the marginal likelihood may be the study's answer."""
        return wants_likelihood(self.estimator)

    def surrogate_thresholds(self) -> dict[str, float]:
        """Return the limits below which a surrogate is good enough.

        The keys are the fields of `popinv.surrogate.collect.Thresholds`.
        """
        asked = self.active_learning
        return {"error": asked.threshold, "push": asked.answer_threshold}


class Config(Section):
    """The configuration of the workflow."""

    seed: CountOrZero = Field(
        default=1,
        description="Seed of every random number of the studies without their own seed.",
    )
    results: Annotated[str, AfterValidator(_inside_working_directory)] = Field(
        default="results",
        description=(
            "Folder of the results, inside the working directory. For another place, make it a "
            "link, or give Snakemake another working directory (`--directory`)."
        ),
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description=(
            "Device that trains and evaluates surrogates. `auto` takes a GPU if there is one. A "
            "change reruns nothing, because results agree to rounding."
        ),
    )
    instruction_set: Literal["native", "avx2", "portable"] = Field(
        default="native",
        description=(
            "Processor instructions of the numerics. `native` takes the best of the machine. "
            "`avx2` and `portable` give equal results on several machines.\n\n"
            "Results of `native` may be rounded differently on other processors. `avx2` gives the "
            "same arrays, bit for bit, on all Intel processors with AVX2. `portable` also gives "
            "them on AMD processors, with slower matrix products. Results of another set are made "
            "again, unless the key is `native`."
        ),
    )
    checkpoint_seconds: NonNegative = Field(
        default=15.0,
        description=(
            "Seconds between two checkpoints of a training or a descent. A killed job may lose "
            "this time. A change reruns nothing."
        ),
    )
    journal_seconds: NonNegative = Field(
        default=1.0,
        description=(
            "A solve of your own simulator that takes at least this long is kept in "
            "`results/.journal` as soon as it ends. It is never repeated."
        ),
    )
    studies: dict[Annotated[str, AfterValidator(_folder_name)], Study] = Field(
        min_length=1, description="The studies, by name. Each has a folder in `results`."
    )
    comparisons: dict[Annotated[str, AfterValidator(_folder_name)], list[str]] = Field(
        default_factory=dict,
        description=(
            "Comparisons of models, by name. Each is a list of studies of the same observations. "
            "One table shows their AIC, BIC and scores."
        ),
        json_schema_extra={"x-default": "none"},
    )
    downstream: Downstream = Field(
        default_factory=Downstream,
        description="The downstream methods' own test problems, which `snakemake downstream` runs.",
    )


def default_section(name: str, sections: dict[str, Any]) -> Any:
    """Return the default of a section that a study leaves out, or None if it must be given."""
    field = Study.model_fields[name]
    if field.is_required() or (name in ("law", "noise") and sections.get("forward") is None):
        return None
    default = field.get_default(call_default_factory=True, validated_data=sections)
    # A forward model gives its defaults as mappings, for the section to complete.
    return _validator(name).validate_python(default)


@cache
def _validator(name: str) -> TypeAdapter[Any]:
    section: Any = Study.model_fields[name].annotation
    return TypeAdapter(section)
