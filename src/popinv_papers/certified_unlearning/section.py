"""The settings of the method on a study: the settings of certified removals."""

from typing import ClassVar

from popinv.methods.certificate.method import Certificate
from popinv_papers.kit.paper import PLAIN_SYSTEMS


class CertifiedUnlearning(Certificate):
    """Removal of systems, under certificate, from the answer on law and noise."""

    special_systems: ClassVar[str] = PLAIN_SYSTEMS
