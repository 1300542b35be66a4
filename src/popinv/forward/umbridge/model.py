"""A simulator behind the UM-Bridge protocol as a forward model, and the client of the protocol.

The protocol, version 1.0, is HTTP requests with JSON bodies. The messages follow the package
``umbridge`` (1.2). Its own client waits without limit, which a simulator that hangs would turn into
a job that never ends.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

import numpy as np

from popinv.errors import ConfigError, SolverError, nearest
from popinv.forward.external.differentiable import DifferentiableExternalModel
from popinv.forward.external.evaluation import CallFailed
from popinv.forward.external.messages import largest_text, time_limit
from popinv.forward.external.model import ExternalModel
from popinv.forward.umbridge.connection import OK, Connection, ServerResponse
from popinv.forward.umbridge.section import UMBridge
from popinv.sections.messages import listed
from popinv.sections.secrets import Environment

_PROTOCOL = 1.0
_GRADIENT, _JACOBIAN = "Gradient", "ApplyJacobian"
_IN_JSON = {"nan": "NaN", "inf": "Infinity"}
_NOT_FINITE = re.compile(r"(?<![\w\"])(nan|inf)(?![\w\"])")
# Limits of every answer except the answer to an evaluation, in seconds and in bytes.
_ANSWER_LIMIT = 30.0
_LARGEST_DESCRIPTION = 2**20
# Most numbers of one input or output vector. JSON has whole numbers of any length.
_LONGEST_VECTOR = 2**31
# Seconds after which a server restarted by its supervisor must be available again.
_PATIENCE = 20.0


_Read = TypeVar("_Read")


class UMBridgeClient:
    """One connection to a model on a UM-Bridge server.

    Parameters
    ----------
    url : str
        Address of the server, with references ``${NAME}`` to variables of the environment.
    model : str
        Name of the model.
    settings : mapping
        Passed on as the requests' ``config``, with the variables in place of the references.
    d_z, d_y : int
        Numbers of parameters and of observations; a model of several input or output vectors
        takes and returns them one after the other.
    seconds : float
        Time limit of an evaluation.
    patience : float
        Seconds to wait for a server that has stopped answering.

    Attributes
    ----------
    differentiable : bool
        Whether the model offers Gradient or ApplyJacobian. What it lacks of the two is assembled
        from the other, by a request for each observation, or for each parameter.

    Raises
    ------
    ConfigError
        If the server has no such model, or one of other sizes, or one that cannot be evaluated;
        if the environment lacks a variable.
    SolverError
        If no UM-Bridge server answers at the address.
    """

    def __init__(
        self,
        url: str,
        model: str,
        settings: Mapping[str, Any],
        d_z: int,
        d_y: int,
        seconds: float,
        patience: float = _PATIENCE,
    ) -> None:
        environment = Environment({"url": url, "config": settings})
        self._connection = Connection(url, environment)
        self._url, self._model = self._connection.url, model
        self._settings = environment.filled(settings)
        self._seconds, self._patience = seconds, patience
        self._support = self._checked_support()
        self.differentiable = bool(self._support & {_GRADIENT, _JACOBIAN})
        self._inputs = self._sizes("InputSizes", "inputSizes", d_z, "parameters")
        self._outputs = self._sizes("OutputSizes", "outputSizes", d_y, "observations")

    def call(self, z: np.ndarray, seeds: np.ndarray, seconds: float | None = None) -> np.ndarray:
        """Evaluate the model for one system.

        Parameters
        ----------
        z : ndarray of shape (1, d_z)
        seeds : ndarray
            Not used: the protocol has no place for them.
        seconds : float, optional
            Not used: each request has the time limit of the client.

        Returns
        -------
        ndarray of shape (1, d_y)

        Raises
        ------
        CallFailed
            If the server takes too long, or answers that the evaluation failed.
        SolverError
            If the server has stopped answering, or returns something else than numbers.
        """
        parts = self._request("Evaluate", z[0], {}, _vectors, sum(self._outputs))
        if [len(part) for part in parts] != list(self._outputs):
            raise SolverError(
                f"{self._url}: the answer to /Evaluate has vectors of {_lengths(parts)} numbers, "
                f"but by /OutputSizes there are {self._connection.told(str(self._outputs))}"
            )
        return np.concatenate(parts)[None]

    def jvp(
        self, z: np.ndarray, tangents: np.ndarray, seeds: np.ndarray, seconds: float | None = None
    ) -> np.ndarray:
        """Return y and its changes for z (1, d_z) and tangents (1, k, d_z), (1, (1 + k) d_y)."""
        y = self.call(z, seeds)[0]
        if _JACOBIAN in self._support:
            changes = [self._product(_JACOBIAN, z[0], tangent) for tangent in tangents[0]]
        else:
            rows = [self._product(_GRADIENT, z[0], unit) for unit in np.eye(len(y))]
            changes = list(tangents[0] @ np.transpose(rows))
        return np.concatenate([y, *changes])[None]

    def vjp(
        self, z: np.ndarray, cotangents: np.ndarray, seeds: np.ndarray, seconds: float | None = None
    ) -> np.ndarray:
        """Return the gradient for z (1, d_z) and cotangents (1, d_y), shape (1, d_z)."""
        if _GRADIENT in self._support:
            return self._product(_GRADIENT, z[0], cotangents[0])[None]
        columns = [self._product(_JACOBIAN, z[0], unit) for unit in np.eye(z.shape[1])]
        return cotangents @ np.transpose(columns)

    def _product(self, endpoint: str, z: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return J times the direction by ApplyJacobian, or J^T times it by Gradient.

        The protocol has a request for each pair of an input vector and an output vector. Parts of
        the direction that are zero need no request.
        """
        forwards = endpoint == _JACOBIAN
        key, sizes = ("vec", self._inputs) if forwards else ("sens", self._outputs)
        others = self._outputs if forwards else self._inputs
        total = [np.zeros(size) for size in others]
        for i, part in enumerate(_split(direction, sizes)):
            for o, size in enumerate(others):
                if size == 0 or not part.any():
                    continue
                pair = {"inWrt": i, "outWrt": o} if forwards else {"inWrt": o, "outWrt": i}
                more = {key: part.tolist(), **pair}
                numbers = self._request(endpoint, z, more, _vector, size)
                if len(numbers) != size:
                    raise SolverError(
                        f"{self._url}: the answer to /{endpoint} has {len(numbers)} numbers, but "
                        f"{size} are expected ({pair})"
                    )
                total[o] += numbers
        return np.concatenate(total)

    def _request(
        self,
        endpoint: str,
        z: np.ndarray,
        more: Mapping[str, Any],
        read: Callable[[Any], _Read],
        count: int,
    ) -> _Read:
        """Return the numbers of an answer that needs computation; it has ``count`` of them."""
        parts = [part.tolist() for part in _split(z, self._inputs)]
        body = {"name": self._model, "input": parts, "config": self._settings, **more}
        try:
            answer = self._connection.ask(endpoint, body, self._seconds, largest_text(count))
        except TimeoutError:
            raise CallFailed(time_limit(self._seconds), lost=True) from None
        except ConnectionError as error:
            self._wait_for_server()
            raise CallFailed(f"the connection was lost ({error})", lost=True) from None
        return self._numbers(endpoint, answer, read)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _numbers(
        self, endpoint: str, answer: ServerResponse, read: Callable[[Any], _Read]
    ) -> _Read:
        told = self._connection.told
        if answer.status != OK:
            raise CallFailed(
                f"the server answered {answer.status} {answer.reason}: {told(answer.text)}"
            )
        # The server of the package umbridge writes nan and inf, as Python does.
        try:
            text = _NOT_FINITE.sub(lambda word: _IN_JSON[word[0]], answer.text)
            content = json.loads(text, object_pairs_hook=_mapping)
        except (ValueError, RecursionError):
            raise CallFailed(
                f"the server answered {answer.status} {answer.reason}: {told(answer.text)}"
            ) from None
        if isinstance(content, dict) and "error" in content:
            raise CallFailed(f"the server answered {answer.status}: {told(answer.text)}")
        try:
            return read(content["output"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise SolverError(
                f"{self._url}: the answer to /{endpoint} has no 'output' that is a list of "
                f"{'lists of ' if read is _vectors else ''}numbers: {told(answer.text)}"
            ) from None

    def _wait_for_server(self) -> None:
        """Wait until the server answers, as a missing answer is not the fault of a system."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._ask("Info")
                return
            except SolverError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _ask(self, endpoint: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a request that needs no computation."""
        try:
            answer = self._connection.ask(endpoint, body, _ANSWER_LIMIT, _LARGEST_DESCRIPTION)
        except (TimeoutError, ConnectionError) as error:
            cause = str(error) or f"no complete answer to /{endpoint} within {_ANSWER_LIMIT:g} s"
            raise SolverError(
                f"{self._url}: no UM-Bridge server answers there ({cause}); start it, or correct "
                "'forward.url'"
            ) from None
        try:
            content = json.loads(answer.text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or answer.status != OK:
            raise SolverError(
                f"{self._url}: this is not a UM-Bridge server (it answered /{endpoint} with "
                f"{answer.status}: {self._connection.told(answer.text)})"
            )
        return content

    def _checked_support(self) -> set[str]:
        """Return the operations that the server supports, after a check that the model exists."""
        told = self._connection.told
        info = self._ask("Info")
        version = info.get("protocolVersion")
        if version != _PROTOCOL or isinstance(version, bool):
            raise SolverError(
                f"{self._url}: the server speaks version {told(str(version))} of the "
                f"protocol, but {_PROTOCOL} is needed"
            )
        models = info.get("models", [])
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise SolverError(
                f"{self._url}: in the answer to /Info, 'models' is not a list of names: "
                f"{told(str(models))}"
            )
        if self._model not in models:
            near = told(nearest(self._model, models))
            raise ConfigError(
                f"forward.model: got '{self._model}', but the server at {self._url} has: "
                f"{told(listed(models)) or 'no model'}.{f' {near}' if near else ''}"
            )
        support = self._ask("ModelInfo", {"name": self._model}).get("support", {})
        if not isinstance(support, dict) or not support.get("Evaluate", False):
            raise ConfigError(
                f"forward.model: '{self._model}' at {self._url} does not support Evaluate"
            )
        return {ability for ability, supported in support.items() if supported}

    def _sizes(self, endpoint: str, key: str, total: int, named: str) -> Sequence[int]:
        answer = self._ask(endpoint, {"name": self._model, "config": self._settings})
        sizes = answer.get(key)
        if not isinstance(sizes, list) or not all(
            type(n) is int and 0 <= n < _LONGEST_VECTOR for n in sizes
        ):
            raise SolverError(
                f"{self._url}: the answer to /{endpoint} has no '{key}' that is a list of whole "
                f"numbers: {self._connection.told(str(answer))}"
            )
        if sum(sizes) != total:
            raise ConfigError(
                f"forward.{named}: {total} are given, but the model '{self._model}' at {self._url} "
                f"has {sum(sizes)} ({key}: {self._connection.told(str(sizes))})"
            )
        return sizes


def _split(vector: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    return np.split(vector, np.cumsum(sizes)[:-1])


def _lengths(parts: Sequence[np.ndarray]) -> str:
    lengths = [len(part) for part in parts[:10]]
    return str(lengths) if len(parts) <= 10 else f"{lengths} and more"


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entries of a JSON object, none of which may be there twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key is there twice")
    return mapping


def _vectors(parts: Any) -> list[np.ndarray]:
    """Return lists of numbers as arrays."""
    if not isinstance(parts, list):
        raise TypeError("not a list of lists")
    return [_vector(part) for part in parts]


def _vector(part: Any) -> np.ndarray:
    """Return a list of numbers as an array; null is NaN, text and truth values are refused."""
    if not isinstance(part, list) or not all(
        number is None or type(number) in (int, float) for number in part
    ):
        raise TypeError("not a list of numbers")
    return np.array(part, dtype=np.float64)


_ADVICE = (
    "Correct Gradient and ApplyJacobian of the model. To disable them, set 'forward.derivatives: "
    "false'."
)


def forward_model(section: UMBridge, seed: int) -> ExternalModel:
    """Return the server's model as a forward model, differentiable if the server supports it.

    Raises
    ------
    ConfigError, SolverError
        If the server does not answer, or has no model that fits.
    """
    start = partial(
        UMBridgeClient,
        section.url,
        section.server_model,
        section.config,
        len(section.inputs()),
        section.observations.asked_count(),
        section.time_limit,
    )
    # The protocol evaluates one system in each request.
    if section.derivatives:
        with closing(start()) as client:
            if client.differentiable:
                return DifferentiableExternalModel(
                    section, seed, start, rows_per_call=1, advice=_ADVICE
                )
    return ExternalModel(section, seed, start, rows_per_call=1)
