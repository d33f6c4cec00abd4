"""Matching of paths to announced endpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.orchestrator.endpoints import RouteTable, route_of, split
from sdk.module_runtime.protocol.services import Endpoint


def table(*endpoints: tuple[str, str, str]) -> RouteTable:
    return RouteTable(
        route_of(module, Endpoint(path=path, methods=methods.split())) for module, path, methods in endpoints
    )


@pytest.mark.parametrize("pattern", ["/u/{id}", "/u/:id", "/u/<id>", "/u/<int:id>", "/u/{id:[0-9]+}", "/u/{id:path}x"])
def test_a_segment_is_filled_as_each_framework_writes_it(pattern: str) -> None:
    if pattern.endswith("x"):
        assert table(("m", pattern, "GET")).find("GET", "/u/7") is None
        return
    found = table(("m", pattern, "GET"))
    assert found.find("GET", "/u/7") is not None
    assert found.find("GET", "/u/") is None
    assert found.find("GET", "/u/7/8") is None


@pytest.mark.parametrize("pattern", ["/f/*path", "/f/{*path}", "/f/{tail:.*}", "/f/*"])
def test_a_rest_takes_all_that_follows(pattern: str) -> None:
    found = table(("m", pattern, "GET"))
    assert all(found.find("GET", path) is not None for path in ("/f/a", "/f/a/b/c"))
    assert found.find("GET", "/g/a") is None


def test_fixed_before_patterns_before_rests_and_first_module_before_second() -> None:
    found = table(
        ("rest", "/a/*x", "*"), ("pattern", "/a/{x}", "GET"), ("one", "/a/b", "GET"), ("two", "/a/b", "GET POST")
    )

    def owner(method: str, path: str) -> str | None:
        match = found.find(method, path)
        return match.route.module_id if match and match.route else None

    assert owner("GET", "/a/b") == "one"
    assert owner("POST", "/a/b") == "two"
    assert owner("HEAD", "/a/b") == "one"
    assert owner("GET", "/a/c") == "pattern"
    assert owner("PUT", "/a/c") == "rest"
    assert owner("GET", "/a/c/d") == "rest"


def test_a_known_path_with_another_method_says_which_would_do() -> None:
    match = table(("m", "/a", "GET PUT")).find("POST", "/a")
    assert match is not None
    assert match.route is None
    assert match.allowed == {"GET", "PUT"}


@pytest.mark.parametrize("path", ["/a/../b", "/a/%2e%2E/b", "/a/.", "a", "/a%00", "/a\\b", "/" + "x" * 3000])
def test_a_path_that_two_sides_may_read_differently_is_nobodys(path: str) -> None:
    assert table(("m", "/{tail:.*}", "*")).find("GET", path) is None


@pytest.mark.parametrize("path", ["a", "/a/../b", "", "/" + "x" * 3000])
def test_an_endpoint_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path of an endpoint"):
        route_of("m", Endpoint(path=path, methods=["GET"]))


@given(st.text(max_size=60))
def test_no_path_breaks_the_table(path: str) -> None:
    found = table(("m", "/a/{x}", "GET"), ("n", "/{tail:.*}", "GET"))
    match = found.find("GET", "/" + path)
    assert (match is None) == (split("/" + path) is None)
