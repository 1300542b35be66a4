"""The methods that a study can ask for, and the settings of their own test problems.

:class:`StudyDownstream` is the table of methods: a method joins with its field, whose name is that
of its folder in ``popinv.downstream``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from popinv.downstream.analog.section import Analog
from popinv.downstream.bigram.section import Bigram, Corpus
from popinv.downstream.birch.section import Birch
from popinv.downstream.certified_unlearning.section import CertifiedUnlearning
from popinv.downstream.federated.section import Federated
from popinv.downstream.fedhl.section import FedHL
from popinv.downstream.influence.section import Influence
from popinv.downstream.instance_unlearning.section import InstanceImages, InstanceUnlearning
from popinv.downstream.mwgrad.section import Mwgrad
from popinv.downstream.posterior.section import Posterior
from popinv.downstream.section import MethodSection, ObservedSystems, StudySections, offered
from popinv.downstream.sgd_dynamics.section import SgdDynamics
from popinv.downstream.withdrawal.section import Withdrawal
from popinv.forward.section import ForwardSection
from popinv.sections.base import Section
from popinv.sections.messages import Problem

__all__ = ["Downstream", "StudyDownstream"]


class Downstream(InstanceImages, Corpus):
    """The downstream methods' own test problems, which `snakemake downstream` runs."""

    size: Literal["workstation", "paper"] = Field(
        default="workstation",
        description="Size of the test problems: `workstation` takes at most a quarter of an "
        "hour for each, `paper` is as large as the paper's where the data can be had.",
    )


class StudyDownstream(Section):
    """Downstream methods that are used on the study; none unless named here."""

    withdrawal: Withdrawal | None = offered(Withdrawal)
    posterior: Posterior | None = offered(Posterior)
    bigram: Bigram | None = offered(Bigram)
    instance_unlearning: InstanceUnlearning | None = offered(InstanceUnlearning)
    birch: Birch | None = offered(Birch)
    mwgrad: Mwgrad | None = offered(Mwgrad)
    sgd_dynamics: SgdDynamics | None = offered(SgdDynamics)
    influence: Influence | None = offered(Influence)
    certified_unlearning: CertifiedUnlearning | None = offered(CertifiedUnlearning)
    analog: Analog | None = offered(Analog)
    federated: Federated | None = offered(Federated)
    fedhl: FedHL | None = offered(FedHL)

    def asked(self) -> dict[str, MethodSection]:
        """Return the sections of the methods that are asked for, by name."""
        return {name: section for name, section in self if section is not None}

    def problems(self, study: StudySections) -> Iterator[Problem]:
        """Yield each conflict of a method with another section of the study."""
        for name, section in self.asked().items():
            for problem in section.problems(study):
                yield problem.under(name)

    def data_problems(
        self, observed: ObservedSystems, forward: ForwardSection | None
    ) -> Iterator[Problem]:
        """Yield each conflict of a method with the observed systems."""
        for name, section in self.asked().items():
            for problem in section.data_problems(observed, forward):
                yield problem.under(name)
