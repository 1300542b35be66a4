"""All policies by name, with the largest distance of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from popinv.errors import ConfigError, require_known
from popinv_papers.birch.engine import Policy
from popinv_papers.birch.policies import (
    Cycle,
    Delayed,
    DualProcess,
    MetaLocal,
    NestedLocalAsync,
    Rounds,
    Vanilla,
)


@dataclass(frozen=True)
class OptimisationMethod:
    """A method of the paper.

    All schedules except the known methods are reconstructions from the paper's description. The
    largest distances of Vanilla, Rennala, Ringmaster and Cycle SGD are the paper's.

    Attributes
    ----------
    keys : tuple of str
        Names of the required settings: whole numbers, except ``period``.
    build : callable
        Maps n and the settings to a policy.
    bound : callable
        Maps n and the settings to R, or to None if R is not bounded.
    """

    title: str
    keys: tuple[str, ...]
    build: Callable[[int, Mapping[str, float]], Policy]
    bound: Callable[[int, Mapping[str, float]], int | None]


def _int(settings: Mapping[str, float], key: str) -> int:
    return int(settings[key])


def _batch(n: int, s: Mapping[str, float]) -> int:
    return int(s["batch"]) - 1


def _delayed(local: bool) -> Callable[[int, Mapping[str, float]], Policy]:
    return lambda n, s: Delayed(_int(s, "delay"), _int(s, "steps"), local)


def _delay_bound(n: int, s: Mapping[str, float]) -> int:
    return int(s["delay"]) * int(s["steps"]) - 1


METHODS: dict[str, OptimisationMethod] = {
    "vanilla": OptimisationMethod("Vanilla SGD", (), lambda n, s: Vanilla(), lambda n, s: 0),
    "minibatch": OptimisationMethod(
        "Synchronized SGD", (), lambda n, s: Rounds(n, local=False, each=1), lambda n, s: n - 1
    ),
    "rennala": OptimisationMethod(
        "Rennala SGD", ("batch",), lambda n, s: Rounds(_int(s, "batch"), local=False), _batch
    ),
    "ringmaster": OptimisationMethod(
        "Ringmaster ASGD",
        ("delay",),
        lambda n, s: Delayed(_int(s, "delay")),
        lambda n, s: _int(s, "delay") - 1,
    ),
    "asynchronous": OptimisationMethod(
        "Asynchronous SGD", (), lambda n, s: Delayed(None), lambda n, s: None
    ),
    "local": OptimisationMethod(
        "Local SGD", ("batch",), lambda n, s: Rounds(_int(s, "batch"), local=True), _batch
    ),
    "dual_process": OptimisationMethod(
        "Dual-Process SGD",
        ("batch", "most"),
        lambda n, s: DualProcess(_int(s, "batch"), _int(s, "most")),
        lambda n, s: _int(s, "most") - 1,
    ),
    "cycle": OptimisationMethod(
        "Cycle SGD",
        ("group",),
        lambda n, s: Cycle(_int(s, "group")),
        lambda n, s: n**2 // _int(s, "group") - 1,
    ),
    "async_local": OptimisationMethod(
        "Async-Local SGD", ("steps", "delay"), _delayed(True), _delay_bound
    ),
    "async_batch": OptimisationMethod(
        "Async-Batch SGD", ("steps", "delay"), _delayed(False), _delay_bound
    ),
    "local_async": OptimisationMethod(
        "Local-Async SGD",
        ("clusters", "batch"),
        lambda n, s: NestedLocalAsync([_int(s, "clusters")], [_int(s, "batch")]),
        _batch,
    ),
    "nested_local_async": OptimisationMethod(
        "Nested Local-Async SGD",
        ("sites", "servers", "inner", "batch"),
        lambda n, s: NestedLocalAsync(
            [_int(s, "sites"), _int(s, "servers")], [_int(s, "batch"), _int(s, "inner")]
        ),
        _batch,
    ),
    "meta_local": OptimisationMethod(
        "Meta Local SGD",
        ("bound", "period"),
        lambda n, s: MetaLocal(_int(s, "bound"), s["period"]),
        lambda n, s: _int(s, "bound"),
    ),
}


def _known(name: str, settings: Mapping[str, float]) -> OptimisationMethod:
    require_known(name, METHODS, f"method '{name}' is not known")
    method = METHODS[name]
    if set(settings) != set(method.keys):
        raise ConfigError(
            f"settings of '{name}' are {sorted(settings)}, must be {sorted(method.keys)}"
        )
    return method


def policy(name: str, workers: int, settings: Mapping[str, float]) -> Policy:
    """Return a new policy by the name of its method.

    Raises
    ------
    ConfigError
        If the method is not known, or settings are missing, unknown or out of range.
    """
    return _known(name, settings).build(workers, settings)


def distance_bound(name: str, workers: int, settings: Mapping[str, float]) -> int | None:
    """Return the R that a method guarantees by construction, or None if it is not known."""
    return _known(name, settings).bound(workers, settings)
