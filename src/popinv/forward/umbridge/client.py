"""A client of the UM-Bridge protocol, version 1.0: HTTP requests with JSON bodies.

The messages are those of the package ``umbridge`` (1.2). Its own client waits without limit, which
a simulator that hangs would turn into a job that never ends.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import requests

from popinv.errors import ConfigError, SolverError, nearest
from popinv.forward.external.evaluation import CallFailed, one_line
from popinv.forward.external.messages import LARGEST_ANSWER, time_limit

__all__ = ["UMBridgeClient"]

_PROTOCOL = 1.0
_IN_JSON = {"nan": "NaN", "inf": "Infinity"}
_NOT_FINITE = re.compile(r"(?<![\w\"])(nan|inf)(?![\w\"])")
# For everything but the evaluation itself.
_ANSWER_LIMIT = 30.0
# A server that is restarted by its supervisor is back after this, or is not coming back.
_PATIENCE = 20.0


class UMBridgeClient:
    """One connection to a model on a UM-Bridge server.

    Parameters
    ----------
    url : str
        Address of the server.
    model : str
        Name of the model.
    settings : mapping
        Passed on as the requests' ``config``.
    d_z, d_y : int
        Numbers of parameters and of observations; a model of several input or output vectors
        takes and returns them one after the other.
    seconds : float
        Time limit of an evaluation.
    patience : float
        Seconds to wait for a server that has stopped answering.

    Raises
    ------
    ConfigError
        If the server has no such model, or one of other sizes, or one that cannot be evaluated.
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
        self._url, self._model, self._settings = url, model, dict(settings)
        self._seconds, self._patience = seconds, patience
        self._session = requests.Session()
        self._check_model()
        self._inputs = self._sizes("InputSizes", "inputSizes", d_z, "parameters")
        self._sizes("OutputSizes", "outputSizes", d_y, "observations")

    def call(self, z: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Evaluate the model for one system.

        Parameters
        ----------
        z : ndarray of shape (1, d_z)
        seeds : ndarray
            Not used: the protocol has no place for them.

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
        parts = np.split(z[0], np.cumsum(self._inputs)[:-1])
        body: dict[str, Any] = {
            "name": self._model,
            "input": [part.tolist() for part in parts],
            "config": self._settings,
        }
        try:
            return self._values(*self._evaluate(body))
        except (requests.ReadTimeout, TimeoutError):
            raise CallFailed(time_limit(self._seconds), lost=True) from None
        except requests.RequestException as error:
            self._wait_for_server()
            raise CallFailed(f"the connection was lost ({_cause(error)})", lost=True) from None

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _evaluate(self, body: Mapping[str, Any]) -> tuple[requests.Response, str]:
        """Return the server's answer and its text.

        The time limit of ``requests`` is one of silence: a server that sends a byte now and then
        keeps it waiting. The request is therefore made in a thread of its own, which is left
        behind, with its session, when the time is up.
        """
        session, done = self._session, queue.SimpleQueue[Any]()

        def ask() -> None:
            try:
                address, limits = f"{self._url}/Evaluate", (_ANSWER_LIMIT, self._seconds)
                with session.post(address, json=body, timeout=limits, stream=True) as response:
                    done.put((response, _limited_text(response)))
            except BaseException as error:
                done.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = done.get(timeout=self._seconds + 1.0)
        except queue.Empty:
            self._session = requests.Session()
            raise TimeoutError from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _values(self, response: requests.Response, text: str) -> np.ndarray:
        # The server of the package umbridge writes nan and inf, as Python does.
        try:
            answer = json.loads(_NOT_FINITE.sub(lambda word: _IN_JSON[word[0]], text))
        except (ValueError, RecursionError):
            raise CallFailed(
                f"the server answered {response.status_code} {response.reason}: {text}"
            ) from None
        if isinstance(answer, dict) and "error" in answer:
            raise CallFailed(f"the server answered {response.status_code}: {answer['error']}")
        try:
            return np.concatenate([_vector(part) for part in answer["output"]])[None]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SolverError(
                f"{self._url}: the answer has no 'output' that is a list of lists of numbers: "
                f"{one_line(text)}"
            ) from error

    def _wait_for_server(self) -> None:
        """Return when the server answers; its silence is no property of a system."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._ask("Info")
                return
            except SolverError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _ask(self, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a question that takes no computing."""
        address = f"{self._url}/{what}"
        try:
            if body is None:
                response = self._session.get(address, timeout=_ANSWER_LIMIT)
            else:
                response = self._session.post(address, json=body, timeout=_ANSWER_LIMIT)
            answer = response.json()
            if not isinstance(answer, dict):
                raise ValueError("not a mapping")
        except ValueError:  # requests' JSONDecodeError among them
            raise SolverError(
                f"{address}: this is not a UM-Bridge server (it answered {response.status_code}: "
                f"{one_line(response.text)})"
            ) from None
        except requests.RequestException as error:
            raise SolverError(
                f"{self._url}: no UM-Bridge server answers there ({_cause(error)}); start it, or "
                "correct 'forward.url'"
            ) from None
        return answer

    def _check_model(self) -> None:
        info = self._ask("Info")
        version = info.get("protocolVersion")
        if version != _PROTOCOL:
            raise SolverError(
                f"{self._url}: the server speaks version {version} of the protocol, but "
                f"{_PROTOCOL} is needed"
            )
        models = info.get("models", [])
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise SolverError(f"{self._url}/Info: 'models' is no list of names: {info}")
        if self._model not in models:
            raise ConfigError(
                f"forward.model: got '{self._model}', but the server at {self._url} has: "
                f"{', '.join(models) or 'no model'}.{nearest(self._model, models)}"
            )
        support = self._ask("ModelInfo", {"name": self._model}).get("support", {})
        if not isinstance(support, dict) or not support.get("Evaluate", False):
            raise ConfigError(
                f"forward.model: '{self._model}' at {self._url} does not support Evaluate"
            )

    def _sizes(self, what: str, key: str, total: int, named: str) -> Sequence[int]:
        answer = self._ask(what, {"name": self._model, "config": self._settings})
        sizes = answer.get(key)
        if not isinstance(sizes, list) or not all(type(n) is int and n >= 0 for n in sizes):
            raise SolverError(
                f"{self._url}/{what}: the answer has no '{key}' that is a list of whole numbers: "
                f"{one_line(str(answer))}"
            )
        if sum(sizes) != total:
            raise ConfigError(
                f"forward.{named}: {total} are given, but the model '{self._model}' at {self._url} "
                f"has {sum(sizes)} ({key}: {sizes})"
            )
        return sizes


def _limited_text(response: requests.Response) -> str:
    """Return the body of an answer, which is read in parts and not beyond all measure."""
    parts, size = [], 0
    for part in response.iter_content(2**16):
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            raise SolverError(
                f"{response.url}: the answer has more than {LARGEST_ANSWER} bytes and is not read"
            )
    return b"".join(parts).decode(errors="replace")


def _vector(part: Any) -> np.ndarray:
    """Return a list of numbers as an array; null is NaN, text and truth values are refused."""
    if not all(number is None or type(number) in (int, float) for number in part):
        raise TypeError("not a list of numbers")
    return np.array(part, dtype=np.float64)


def _cause(error: requests.RequestException) -> str:
    """Return the innermost part of a network error, which says what happened."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return one_line(str(cause) or type(cause).__name__)
