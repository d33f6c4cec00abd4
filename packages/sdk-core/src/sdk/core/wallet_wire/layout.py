"""How a model stands on the wire: its parts, one after another.

A member that was not given to the model is absent, even if the model has a default for it; where the wire has no form
for absence the default is written. So a frame that is read and written again keeps its bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from sdk.core.errors import InvalidParameter
from sdk.core.wallet_wire.codecs import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.core.encodings import Reader
    from sdk.core.wallet.model import WalletModel


_NAMES = {
    "protocol_id": "protocolID",
    "key_id": "keyID",
    "input_beef": "inputBEEF",
    "beef": "BEEF",
    "return_txid_only": "returnTXIDOnly",
}


class Part(ABC):
    """Some members of a model."""

    @abstractmethod
    def write(self, model: Any) -> bytes: ...

    @abstractmethod
    def read(self, reader: Reader, into: dict[str, Any]) -> None: ...


class Member(Part):
    """One member of the model, by its Python name."""

    def __init__(self, name: str, codec: Codec) -> None:
        self._name, self._codec, self._wire_name = name, codec, _NAMES.get(name) or to_camel(name)

    def write(self, model: Any) -> bytes:
        if self._codec.optional and self._name not in model.model_fields_set:
            return self._codec.write(None, self._wire_name)
        value = getattr(model, self._name)
        if value is None and not self._codec.optional:
            raise InvalidParameter(self._wire_name, "present: the binary wire has no form for its absence")
        return self._codec.write(value, self._wire_name)

    def read(self, reader: Reader, into: dict[str, Any]) -> None:
        value = self._codec.read(reader, self._wire_name)
        if value is not None:
            into[self._name] = value


class Choice(Part):
    """A byte that says which parts follow.

    ``branches`` has, by that byte, members that have a fixed value then, and the parts.
    """

    def __init__(
        self,
        name: str,
        choose: Callable[[Any], int],
        branches: Mapping[int, tuple[Mapping[str, Any], tuple[Part, ...]]],
    ) -> None:
        self._name, self._choose, self._branches = name, choose, branches

    def write(self, model: Any) -> bytes:
        tag = self._choose(model)
        return bytes((tag,)) + write_parts(self._branches[tag][1], model)

    def read(self, reader: Reader, into: dict[str, Any]) -> None:
        start = reader.offset
        tag = reader.u8(self._name)
        if tag not in self._branches:
            raise reader.fail(f"{self._name} has no value {tag}", start)
        fixed, parts = self._branches[tag]
        into.update(fixed)
        read_parts(parts, reader, into)


class Struct(Codec):
    """A model inside another one; reads its members, which the outer model checks."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    def write(self, value: Any, name: str) -> bytes:
        return write_parts(self.parts, value)

    def read(self, reader: Reader, name: str) -> Any:
        members: dict[str, Any] = {}
        read_parts(self.parts, reader, members)
        return members


def members(**codecs: Codec) -> tuple[Part, ...]:
    """In the order of the wire."""
    return tuple(Member(name, codec) for name, codec in codecs.items())


def write_parts(parts: tuple[Part, ...], model: WalletModel) -> bytes:
    return b"".join([part.write(model) for part in parts])


def read_parts(parts: tuple[Part, ...], reader: Reader, into: dict[str, Any]) -> None:
    for part in parts:
        part.read(reader, into)
