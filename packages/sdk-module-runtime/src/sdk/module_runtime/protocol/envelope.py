"""``Message``: what a module wraps around each body it sends on a framed channel."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import uuid4

from pydantic import Field

from sdk.module_runtime.protocol.model import I64, WireStruct, WireUuid, is_none

if TYPE_CHECKING:
    from uuid import UUID

T = TypeVar("T")


class MessageMetadata(WireStruct):
    """``timestamp`` is whatever the sender counts; Rust writes none."""

    id: str | None = Field(default=None, exclude_if=is_none)
    timestamp: I64 | None = Field(default=None, exclude_if=is_none)
    source: str | None = Field(default=None, exclude_if=is_none)
    destination: str | None = Field(default=None, exclude_if=is_none)
    properties: dict[str, Any] | None = Field(default=None, exclude_if=is_none)


class Message(WireStruct, Generic[T]):
    id: WireUuid
    content: T
    metadata: MessageMetadata = Field(default_factory=MessageMetadata)

    @classmethod
    def wrap(cls, content: T, metadata: MessageMetadata | None = None, *, id: UUID | None = None) -> Message[T]:
        """``content`` under a new random id, unless one is given."""
        return cls(id=id or uuid4(), content=content, metadata=metadata or MessageMetadata())


_SERIES: Final = str(uuid4())[:-12].encode()
_NUMBERS: Final = itertools.count()


def wrap_json(content: bytes) -> bytes:
    """``Message`` around a body that is JSON already, as ``Message.wrap(body).to_json()`` writes it, but quicker.

    Its id is of this process's own series, whose beginning is random.
    """
    return b'{"id":"%b%012x","content":%b,"metadata":{}}' % (_SERIES, next(_NUMBERS), content)
