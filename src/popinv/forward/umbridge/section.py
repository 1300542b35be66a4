"""The section of a simulator behind the UM-Bridge protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from popinv.forward.external.section import RETRIES, ExternalSection
from popinv.sections.base import CountOrZero
from popinv.sections.messages import ConfigProblem
from popinv.sections.secrets import Environment, plain_secrets


def _http_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.fragment:
        raise PydanticCustomError("url", "it must be an address such as 'http://localhost:4242'")
    return url.rstrip("/")


class UMBridge(ExternalSection):
    """Your own simulator behind the UM-Bridge protocol; each request solves one system."""

    kind: Literal["umbridge"] = Field(description="A UM-Bridge server.")
    url: Annotated[str, AfterValidator(_http_address)] = Field(
        description=(
            "Address of the server, such as `http://localhost:4242`. Write a password or a token "
            "as an environment variable: `http://${SERVER_USER}:${SERVER_PASSWORD}@host:4242`."
        )
    )
    # The attribute has another name, as `model` is a method of every section.
    server_model: str = Field(
        default="forward",
        alias="model",
        min_length=1,
        description="Name of the model on the server.",
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Settings that each request passes on to the model. `${NAME}` in a text becomes the "
            "environment variable NAME, which is not stored: `token: ${SERVER_TOKEN}`."
        ),
        json_schema_extra={"x-default": "none"},
    )
    derivatives: bool = Field(
        default=True,
        strict=True,
        description=(
            "`true` uses Gradient and ApplyJacobian of the model, if the server supports them."
        ),
    )
    version: str = Field(
        default="",
        description=(
            "Any text. popinv cannot detect a change of the server's code. Change the text after "
            "each change: the solves are then repeated."
        ),
        json_schema_extra={"x-default": "none"},
    )
    retries: CountOrZero = Field(default=2, description=RETRIES)

    def called(self) -> str:
        """Return the model's name; the server's address may hold a password."""
        return f"`{self.server_model}`, on a server"

    def takes_seeds(self) -> bool:
        """Return False: the protocol has no seeds."""
        return False

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield secrets in plain text, and what is wrong with any simulator."""
        yield from super().problems()
        for place in plain_secrets({"url": self.url, "config": self.config}):
            yield ConfigProblem(
                place,
                "holds a password or a token in plain text, which would be stored with the "
                "results. Write ${NAME} in its place, and set the variable of the environment "
                "before the run: export NAME=...",
            )

    def check_files(self) -> None:
        """Check that the environment has the variables that the section refers to."""
        Environment({"url": self.url, "config": self.config})
