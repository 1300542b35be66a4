"""The whole configuration: the studies and their common keys."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from popinv.config.evidence import Evidence
from popinv.config.numerics import ActiveLearning, Assessment
from popinv.config.observations import Observations
from popinv.forward.kinds import Forward
from popinv.inference.settings import DescentSettings, Estimator, PolishSettings
from popinv.methods.sections import Downstream, StudyDownstream
from popinv.population.kinds import Law, Noise
from popinv.sections.base import CountOrZero, Given, NonNegative, Section
from popinv.surrogate.section import SurrogateSettings

# Folders beside the studies' own.
RESERVED_NAMES = ("downstream", "report", "benchmarks", "comparisons")
# File systems allow 255, and other names are made from it. A whole path has at most 4096.
_LONGEST_NAME = 100
# Of the folder of results. Snakemake walks up from each file through all its folders.
_LONGEST_PATH = 200


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
            "results", "hidden folders are those of other programs, such as .git and .snakemake"
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
        json_schema_extra={"x-default": "that of the forward model; your own simulator needs one"},
    )
    noise: Noise = Field(
        default_factory=lambda values: values["forward"].default_noise(),
        description="The family of noise covariances.",
        json_schema_extra={
            "x-default": "`{kind: kernel}` for porous flow, `{kind: isotropic}` for "
            "elastodynamics, else `{kind: diagonal}`"
        },
    )
    observations: Observations = Field(description="The source of the observations.")
    active_learning: ActiveLearning = Field(
        default_factory=ActiveLearning,
        description="The rounds of solves that train the surrogate.",
    )
    surrogate: SurrogateSettings = Field(
        default_factory=SurrogateSettings,
        description="The network, or the Gaussian process, that stands in for the forward model.",
    )
    descent: DescentSettings = Field(
        default_factory=DescentSettings, description="The descent on law and noise."
    )
    estimator: Estimator = Field(
        default="auto",
        description="Method that gives the answer: the descent (`distance`), the Gaussian "
        "`pseudo_likelihood`, the marginal `likelihood`, or the last of these whose diagnostics "
        "allow its use (`auto`). The descent and the pseudo-likelihood are always reported.",
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


class Config(Section):
    """The configuration of the workflow."""

    seed: CountOrZero = Field(
        default=1,
        description="Seed of every random number of the studies that have none of their own.",
    )
    results: Annotated[str, AfterValidator(_inside_working_directory)] = Field(
        default="results",
        description="Folder of the results, inside the working directory. To have them "
        "elsewhere, make it a link, or give Snakemake another working directory (`--directory`).",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Device that trains and evaluates surrogates: `auto` takes a GPU if there is "
        "one. A change reruns nothing, since results agree to rounding.",
    )
    instruction_set: Literal["native", "avx2", "portable"] = Field(
        default="native",
        description="Instructions of the processor that the numerics use. `native` takes the best "
        "that there are, and other processors may round differently. `avx2` gives the same arrays, "
        "bit for bit, on all Intel processors with AVX2, and `portable` on those of AMD too, with "
        "slower matrix products. Results of another set are made again, unless it is `native`.",
    )
    checkpoint_seconds: NonNegative = Field(
        default=15.0,
        description="Seconds between two checkpoints of a training or a descent, which a killed "
        "job may lose. A change reruns nothing.",
    )
    journal_seconds: NonNegative = Field(
        default=1.0,
        description="A solve of your own simulator that takes at least this long is kept in "
        "`results/.journal` as soon as it ends, and is never repeated.",
    )
    studies: dict[Annotated[str, AfterValidator(_folder_name)], Study] = Field(
        min_length=1, description="The studies, by name; each has a folder in `results`."
    )
    comparisons: dict[Annotated[str, AfterValidator(_folder_name)], list[str]] = Field(
        default_factory=dict,
        description="Comparisons of models, by name: each is a list of studies of the same "
        "observations, whose AIC, BIC and scores are put into one table.",
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
    section: Any = field.annotation
    return TypeAdapter(section).validate_python(default)
