"""The records of all methods, found by the names of the fields of a study's ``downstream``."""

from __future__ import annotations

from importlib import import_module

from popinv.downstream.method import Method
from popinv.downstream.sections import StudyDownstream

__all__ = ["METHODS"]


def _record(name: str) -> Method:
    record: Method = import_module(f"popinv.downstream.{name}.method").METHOD
    return record


METHODS = {name: _record(name) for name in StudyDownstream.model_fields}
"""The record of each method, by name."""
