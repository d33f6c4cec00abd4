from __future__ import annotations

import subprocess
import sys

import pytest

import sdk.core

CLASSES = (
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
    "Script",
    "OutPoint",
    "MerklePath",
    "Beef",
    "BlockHeader",
)


@pytest.mark.parametrize("name", CLASSES)
def test_every_protocol_type_has_the_same_four_conversions(name: str) -> None:
    cls = getattr(sdk.core, name)
    for method in ("from_bytes", "to_bytes", "from_hex", "to_hex"):
        assert callable(getattr(cls, method))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        _ = sdk.core.Nonsense
    assert set(sdk.core.__all__) <= set(dir(sdk.core))


def test_protocol_types_do_not_load_pydantic() -> None:
    program = f"import sys, sdk.core; from sdk.core import {', '.join(CLASSES)}; print('pydantic' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
