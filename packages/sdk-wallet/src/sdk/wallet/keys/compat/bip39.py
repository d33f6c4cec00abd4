"""Mnemonic phrases (BIP-39), on the ``mnemonic`` package."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from mnemonic import Mnemonic

from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from sdk.core.ports import Entropy

SIZES = {12: 16, 15: 20, 18: 24, 21: 28, 24: 32}
"""Words to bytes of entropy."""


@lru_cache(maxsize=12)
def _language(name: str) -> Mnemonic:
    return Mnemonic(name)


def generate(words: int = 12, *, language: str = "english", entropy: Entropy = os.urandom) -> str:
    """A new phrase of 12, 15, 18, 21 or 24 words. Raises ``ValueError``."""
    if words not in SIZES:
        raise ValueError(f"a phrase has {', '.join(map(str, SIZES))} words, not {words}")
    return from_entropy(entropy(SIZES[words]), language=language)


def from_entropy(data: bytes, *, language: str = "english") -> str:
    """The phrase of 16, 20, 24, 28 or 32 bytes. Raises ``ValueError``."""
    if len(data) not in SIZES.values():
        raise ValueError(f"a phrase stands for {', '.join(map(str, SIZES.values()))} bytes, not {len(data)}")
    return _language(language).to_mnemonic(data)


def to_entropy(phrase: str, *, language: str = "english") -> bytes:
    """The bytes of a phrase. Raises ``ParseError``, which does not repeat it."""
    check(phrase, language=language)
    return bytes(_language(language).to_entropy(_normal(phrase)))


def check(phrase: str, *, language: str = "english") -> None:
    """Raises ``ParseError`` if a word is unknown, their number is wrong, or the checksum does not match."""
    words = _normal(phrase).split(" ")
    if len(words) not in SIZES:
        raise ParseError("mnemonic", f"it has {len(words)} words")
    known = set(_language(language).wordlist)
    unknown = next((position for position, word in enumerate(words, 1) if word not in known), None)
    if unknown is not None:
        raise ParseError("mnemonic", f"word {unknown} is not in the {language} list")
    if not _language(language).check(" ".join(words)):
        raise ParseError("mnemonic", "the checksum does not match; a word is wrong or in the wrong place")


def to_seed(phrase: str, passphrase: str = "", *, language: str = "english") -> bytes:
    """64 bytes for ``ExtendedKey.from_seed``. Raises ``ParseError`` for a phrase that fails ``check``."""
    check(phrase, language=language)
    return bytes(Mnemonic.to_seed(_normal(phrase), passphrase))


def _normal(phrase: str) -> str:
    return " ".join(Mnemonic.normalize_string(phrase).split())
