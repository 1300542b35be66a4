"""The section of a simulator behind the UM-Bridge protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from popinv.forward.external.section import RETRIES, ExternalSection
from popinv.sections.base import CountOrZero

if TYPE_CHECKING:
    from popinv.forward.external.model import ExternalModel

__all__ = ["UMBridge"]


def _http_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise PydanticCustomError("url", "it must be an address such as 'http://localhost:4242'")
    return url.rstrip("/")


class UMBridge(ExternalSection):
    """Your own simulator behind the UM-Bridge protocol, which solves one system in each request."""

    kind: Literal["umbridge"] = Field(description="A UM-Bridge server.")
    url: Annotated[str, AfterValidator(_http_address)] = Field(
        description="Address of the server, such as `http://localhost:4242`."
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
        description="Settings passed on to the model with each request.",
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
            "Any text. popinv cannot detect a change of the server's code: change the text when "
            "the code has changed, and the solves are repeated."
        ),
        json_schema_extra={"x-default": "none"},
    )
    retries: CountOrZero = Field(default=2, description=RETRIES)

    def model(self, seed: int) -> ExternalModel:
        """Return the server's model as a forward model, after a request for its operations."""
        from popinv.forward.umbridge.model import forward_model

        return forward_model(self, seed)
