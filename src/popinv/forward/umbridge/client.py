"""A client of the UM-Bridge protocol, version 1.0: HTTP requests with JSON bodies.

The messages are those of the package ``umbridge`` (1.2). Its own client waits without limit, which
a simulator that hangs would turn into a job that never ends.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import requests

from popinv.errors import ConfigError, SolverError, nearest
from popinv.forward.external.evaluation import CallFailed, one_line
from popinv.forward.external.messages import time_limit

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
            response = self._session.post(
                f"{self._url}/Evaluate", json=body, timeout=(_ANSWER_LIMIT, self._seconds)
            )
        except requests.ReadTimeout:
            raise CallFailed(time_limit(self._seconds), lost=True) from None
        except requests.RequestException as error:
            self._wait_for_server()
            raise CallFailed(f"the connection was lost ({_cause(error)})", lost=True) from None
        return self._values(response)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _values(self, response: requests.Response) -> np.ndarray:
        # The server of the package umbridge writes nan and inf, as Python does.
        text = _NOT_FINITE.sub(lambda word: _IN_JSON[word[0]], response.text)
        try:
            answer = json.loads(text)
        except ValueError:
            raise CallFailed(
                f"the server answered {response.status_code} {response.reason}: {response.text}"
            ) from None
        if isinstance(answer, dict) and "error" in answer:
            raise CallFailed(f"the server answered {response.status_code}: {answer['error']}")
        try:
            return np.concatenate([np.asarray(v, np.float64) for v in answer["output"]])[None]
        except (KeyError, TypeError, ValueError) as error:
            raise SolverError(
                f"{self._url}: the answer has no 'output' that is a list of lists of numbers: "
                f"{one_line(response.text)}"
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
        if self._model not in models:
            raise ConfigError(
                f"forward.model: got '{self._model}', but the server at {self._url} has: "
                f"{', '.join(models) or 'no model'}.{nearest(self._model, models)}"
            )
        support = self._ask("ModelInfo", {"name": self._model}).get("support", {})
        if not support.get("Evaluate", False):
            raise ConfigError(
                f"forward.model: '{self._model}' at {self._url} does not support Evaluate"
            )

    def _sizes(self, what: str, key: str, total: int, named: str) -> Sequence[int]:
        answer = self._ask(what, {"name": self._model, "config": self._settings})
        sizes = answer.get(key)
        if sizes is None:
            raise SolverError(f"{self._url}/{what}: the answer has no '{key}': {answer}")
        if sum(sizes) != total:
            raise ConfigError(
                f"forward.{named}: {total} are given, but the model '{self._model}' at {self._url} "
                f"has {sum(sizes)} ({key}: {sizes})"
            )
        return sizes


def _cause(error: requests.RequestException) -> str:
    """Return the innermost part of a network error, which says what happened."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return one_line(str(cause) or type(cause).__name__)
