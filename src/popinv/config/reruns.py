"""The studies that are run again without the systems that withdraw from them."""

from __future__ import annotations

from popinv.config.evidence import Evidence
from popinv.config.study import Config, Study
from popinv.errors import ConfigError
from popinv.methods.sections import StudyDownstream


def name_of_rerun(name: str) -> str:
    """Return the name of the study that is the rerun of another."""
    return f"{name}_without"


def with_reruns(config: Config, source: str) -> Config:
    """Return a configuration with the reruns that its studies ask for.

    The rerun of NAME is the study ``NAME_without``: the same sections, with the systems that
    withdraw left out of the observations, and without evidence and downstream methods.

    Parameters
    ----------
    config : Config
        It may hold the reruns already.
    source : str
        The name of the file, for the message.

    Raises
    ------
    ConfigError
        If another study has the name of a rerun, or if systems have withdrawn before by their
        numbers, which then belong to other systems.
    """
    studies = dict(config.studies)
    for name, study in config.studies.items():
        withdrawal = study.downstream.asked().get("withdrawal")
        if withdrawal is None or not withdrawal.rerun:
            continue
        before = study.observations.without
        if before and getattr(study.observations, "system_column", None) is None:
            raise ConfigError(
                f"{source}: studies.{name}.downstream.withdrawal.rerun: got true, but systems "
                f"without names have withdrawn before (observations.without: {before}), and the "
                "numbers of the others have changed since; give all of them in "
                "observations.without, with the numbers before any was left out, and leave "
                "'rerun' out"
            )
        again = _without(study, withdrawal.systems)
        if studies.setdefault(name_of_rerun(name), again) != again:
            raise ConfigError(
                f"{source}: studies.{name_of_rerun(name)} is the name of the rerun of '{name}', "
                f"which studies.{name}.downstream.withdrawal.rerun requests; give your own study "
                "another name"
            )
    return config.model_copy(update={"studies": studies})


def _without(study: Study, systems: list[int | str]) -> Study:
    observed = study.observations
    left = observed.model_copy(update={"without": [*observed.without, *systems]})
    return study.model_copy(
        update={"observations": left, "evidence": Evidence(), "downstream": StudyDownstream()}
    )
