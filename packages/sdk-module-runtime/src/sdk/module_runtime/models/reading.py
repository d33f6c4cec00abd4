"""Models from files: ``{"tables": [MODEL, …]}``, a list of models, or one; in JSON, or YAML with serde's tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from sdk.module_runtime.models.definitions import ModelDescriptor
from sdk.module_runtime.models.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST: Final = 4 << 20
_MOST_TABLES: Final = 1000


def read_models(path: Path) -> list[ModelDescriptor]:
    """``ModelError`` says what is wrong, and where."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise ModelError(f"{path} is larger than 4 MiB: that is no file of models")
    try:
        text = data.decode()
        document = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: {error}") from error
    return parse_models(document, str(path))


def parse_models(document: Any, source: str) -> list[ModelDescriptor]:
    tables = document.get("tables", [document]) if isinstance(document, dict) else document
    if not isinstance(tables, list) or len(tables) > _MOST_TABLES:
        raise ModelError(f"{source}: give one model, a list of at most {_MOST_TABLES}, or an object with tables")
    return [_model(each, f"{source}, table {number}") for number, each in enumerate(tables, 1)]


def _model(document: Any, source: str) -> ModelDescriptor:
    try:
        return ModelDescriptor.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        places = {".".join(map(str, each["loc"][:4])): each["msg"] for each in found}
        raise ModelError("; ".join(f"{source}: {place}: {said}" for place, said in places.items())) from None


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ModelError("YAML is not installed; run: pip install 'sdk-module-runtime[yaml]', or give JSON") from None

    class Loader(yaml.SafeLoader):
        """``!Varchar 255`` is ``{"Varchar": 255}``, as serde_yaml writes enums."""

    def tagged(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            return {suffix: loader.construct_object(yaml.ScalarNode(loader.resolve(
                yaml.ScalarNode, node.value, (node.style is None, False)
            ), node.value))}  # fmt: skip
        if isinstance(node, yaml.SequenceNode):
            return {suffix: loader.construct_sequence(node, deep=True)}
        return {suffix: loader.construct_mapping(node, deep=True)}

    Loader.add_multi_constructor("!", tagged)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from error
