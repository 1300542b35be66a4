"""Errors of an estimate: of few systems, of the surrogate, and what the data do not determine."""
