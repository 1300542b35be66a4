"""Requests to a server: limited in time and size, to its own address, and without secrets shown."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError

from popinv.errors import SolverError
from popinv.forward.external.evaluation import one_line
from popinv.sections.secrets import Environment, masked

OK = 200
"""The status of an answer that is none of a failure."""

# Seconds in which a connection must be made.
_CONNECT_LIMIT = 30.0
_REFUSED = (401, 403, 407)


@dataclass(frozen=True)
class ServerResponse:
    """What a server answered.

    Attributes
    ----------
    reason : str
        Of the status, such as ``Not Found``.
    """

    status: int
    reason: str
    text: str


class _NoUser(AuthBase):
    """No authentication.

    The package requests would otherwise look into ``~/.netrc``, and send a password that is there
    for another service on this machine, or for all machines, to the server.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Session(requests.Session):
    """A session without redirections, whose targets requests would read, and may stumble over."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Connection:
    """Requests to one address.

    Proxies and certificates are those that the environment names. A user's name and password are
    sent only if the address has them.

    Parameters
    ----------
    url : str
        As the configuration has it, with references ``${NAME}``.
    environment : Environment
        The variables of these references. No message shows their values.
    """

    def __init__(self, url: str, environment: Environment) -> None:
        self.url: str = masked(url)
        self._environment = environment
        parts = urlsplit(url)
        user, at, host = parts.netloc.rpartition("@")
        self._auth: AuthBase = _NoUser()
        if at:
            name, _, password = (environment.filled(unquote(each)) for each in user.partition(":"))
            environment.hide(f"{name}:{password}")
            self._auth = HTTPBasicAuth(name.encode(), password.encode())
        path, query = (
            environment.filled(part, lambda value: quote(value, safe=""))
            for part in (parts.path.rstrip("/"), parts.query)
        )
        self._parts = parts.scheme, environment.filled(host), path, query
        self._session = self._new_session()

    def ask(
        self, endpoint: str, body: Mapping[str, Any] | None, seconds: float, largest: int
    ) -> ServerResponse:
        """Return the answer to a request: GET without a body, POST with one.

        Parameters
        ----------
        endpoint : str
            Last part of the path.
        body : mapping or None
            Sent as JSON.
        seconds : float
            Time limit of the whole exchange.
        largest : int
            Most bytes of the answer. Of one with another status than 200 this much is read.

        Raises
        ------
        SolverError
            If the answer is too large, or redirects, or if the server refuses access.
        TimeoutError
            If the time is up.
        ConnectionError
            If there is no connection, or if it was lost.
        """
        # The time limit of requests is one of silence: a server that sends a byte now and then
        # keeps it waiting. The request is therefore made in a thread of its own, which is left
        # behind, with its session, when the time is up.
        session, done = self._session, queue.SimpleQueue[Any]()

        def exchange() -> None:
            try:
                done.put(self._exchange(session, endpoint, body, seconds, largest))
            except BaseException as error:
                done.put(error)

        threading.Thread(target=exchange, daemon=True).start()
        try:
            answer = done.get(timeout=seconds + 1.0)
        except queue.Empty:
            self._session = self._new_session()
            raise TimeoutError from None
        if isinstance(answer, requests.ReadTimeout):
            raise TimeoutError from None
        # What breaks the rules of HTTP comes from the packages below as well.
        if isinstance(answer, requests.RequestException | HTTPError | HTTPException):
            raise ConnectionError(self.told(_cause(answer))) from None
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, ServerResponse)
        return answer

    def told(self, text: str) -> str:
        """Return a text from the server on one line, cut short and without secrets."""
        return one_line(self._environment.masked(text))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.auth = self._auth
        # A small compressed answer may be one without end.
        session.headers["Accept-Encoding"] = "identity"
        return session

    def _exchange(
        self,
        session: requests.Session,
        endpoint: str,
        body: Mapping[str, Any] | None,
        seconds: float,
        largest: int,
    ) -> ServerResponse:
        scheme, host, path, query = self._parts
        with session.request(
            "GET" if body is None else "POST",
            urlunsplit((scheme, host, f"{path}/{endpoint}", query, "")),
            json=body,
            timeout=(_CONNECT_LIMIT, seconds),
            stream=True,
            # Another address would be sent the parameters, the settings and their secrets.
            allow_redirects=False,
        ) as response:
            self._check(endpoint, response)
            text = self._text(endpoint, response, largest)
            return ServerResponse(response.status_code, self.told(response.reason or ""), text)

    def _check(self, endpoint: str, response: requests.Response) -> None:
        status = response.status_code
        if 300 <= status < 400:
            target = self.told(_without_secrets(response.headers.get("Location", "")))
            raise SolverError(
                f"{self.url}: the server answered /{endpoint} with {status}, a redirection"
                f"{f' to {target}' if target else ''}. popinv does not follow it. Set "
                "'forward.url' to the address of the model itself, if you trust it"
            )
        if status in _REFUSED:
            raise SolverError(
                f"{self.url}: the server refused access to /{endpoint} (it answered {status} "
                f"{self.told(response.reason or '')}). Correct the user and the password in "
                "'forward.url', or the token, and the variables of the environment that hold them"
            )
        if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
            raise SolverError(
                f"{self.url}: the answer to /{endpoint} is compressed ({self.told(encoding)}), "
                "which was not requested, and is not read. Disable compression in the server"
            )

    def _text(self, endpoint: str, response: requests.Response, largest: int) -> str:
        """Return the text of an answer, of which no more is read than is allowed."""
        failed = response.status_code != OK
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and not failed and len(length) < 20 and int(length) > largest:
            raise self._too_large(endpoint, f"{int(length)} bytes", largest)
        parts, size = [], 0
        for part in response.iter_content(2**16):
            parts.append(part)
            size += len(part)
            if size > largest:
                if failed:
                    break
                raise self._too_large(endpoint, f"more than {largest} bytes", largest)
        return b"".join(parts).decode(errors="replace")

    def _too_large(self, endpoint: str, size: str, largest: int) -> SolverError:
        return SolverError(
            f"{self.url}: the answer to /{endpoint} has {size} and is not read; at most {largest} "
            "are allowed for the numbers that are expected. Check that 'forward.url' is the "
            "address of a UM-Bridge server, and that the model returns its observations alone"
        )


def _without_secrets(address: str) -> str:
    """Return an address without its user and its query, which may hold a password."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _cause(error: Exception) -> str:
    """Return the innermost part of a network error, which states the cause."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return str(cause) or type(cause).__name__
