"""Entry points: lazy, isolated from one another, and never ambiguous (design.md §2)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import PluginConflict, PluginLoadError, PluginNotFound
from sdk.core.plugins import GROUPS, PluginRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GROUP = "sdk.tests.greeters"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a distribution of one module on the path, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(distribution: str, module: str, code: str, **points: str) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "\n".join(f"{name} = {target}" for name, target in points.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return write


def test_listing_imports_nothing(install: Callable[..., None]) -> None:
    install("acme", "acme_greeter", "hello = 'hi'", acme="acme_greeter:hello")
    registry: PluginRegistry[str] = PluginRegistry(GROUP)
    assert list(registry) == ["acme"]
    assert registry.sources("acme") == ("acme 1.0",)
    assert "acme_greeter" not in sys.modules
    assert registry.load("acme") == "hi"


def test_a_broken_plugin_leaves_the_others_alone(install: Callable[..., None]) -> None:
    install("acme", "acme_greeter", "hello = 'hi'", acme="acme_greeter:hello")
    install("broken", "broken_greeter", "raise RuntimeError('no licence')", broken="broken_greeter:hello")
    registry: PluginRegistry[str] = PluginRegistry(GROUP)
    with pytest.raises(PluginLoadError, match=r"broken 1\.0.*no licence"):
        registry.load("broken")
    assert registry.load("acme") == "hi"


def test_two_plugins_with_one_name_are_an_error_that_names_both(install: Callable[..., None]) -> None:
    install("acme", "acme_greeter", "hello = 'hi'", same="acme_greeter:hello")
    install("other", "other_greeter", "hello = 'ho'", same="other_greeter:hello")
    with pytest.raises(PluginConflict) as caught:
        PluginRegistry[str](GROUP).load("same")
    assert set(caught.value.distributions) == {"acme 1.0", "other 1.0"}


def test_an_unknown_name_lists_what_there_is(install: Callable[..., None]) -> None:
    install("acme", "acme_greeter", "hello = 'hi'", acme="acme_greeter:hello")
    with pytest.raises(PluginNotFound, match="available: acme"):
        PluginRegistry[str](GROUP).load("nobody")


def test_every_group_is_listed_once() -> None:
    assert len(GROUPS) == len(set(GROUPS))
