"""The settings of the method on a study: those of certified removals."""

from popinv.methods.certificate.section import Certificate


class CertifiedUnlearning(Certificate):
    """Removal of systems, under certificate, from the answer on law and noise."""
