"""Checks on laws and noise families of the user's own, before any work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from popinv.config.observations import SyntheticObservations
from popinv.config.study import Study
from popinv.errors import ConfigError
from popinv.sections.outside import is_outside


def check_outside_kinds(name: str, study: Study, seed: int) -> None:
    """Check that a study's own classes return what the workflow relies on.

    Parameters
    ----------
    name : str
        The study's name.
    seed : int
        The study's seed.

    Raises
    ------
    ConfigError
        With the study, the section, and what its class has to do.
    """
    # The checks import torch, which a study of known kinds does not need yet.
    if is_outside(study.law.kind):
        from popinv.population.contract import check_law

        with _told(f"studies.{name}.law"):
            check_law(study.law, study.forward)
    families = {"noise": study.noise}
    if isinstance(study.observations, SyntheticObservations):
        true_family = study.observations.truth.noise_model
        families |= {"observations.truth.noise_model": true_family} if true_family else {}
    for place, section in families.items():
        if is_outside(section.kind):
            from popinv.population.contract import check_noise

            with _told(f"studies.{name}.{place}"):
                check_noise(section, study.forward.observed(seed))


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
