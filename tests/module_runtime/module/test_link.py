"""What a module asks, and how answers find who waits for them, whatever comes between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ServiceOperationFailed, Unsupported
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.protocol import extensions as ext
from sdk.module_runtime.protocol import messages as m
from sdk.module_runtime.protocol.formats import EncodedMessage
from sdk.module_runtime.protocol.services import ServiceProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

NULL = EncodedMessage(data=b"null", format="Json")
QUESTIONS = ["secret", "open", "operate", "call", "port", "route", "register", "discover"]


def question(link: Link, kind: str, number: int) -> Coroutine[Any, Any, Any]:
    name = f"{kind}{number}"
    if kind == "secret":
        return link.get_secret(name)
    if kind == "open":
        return link.open_service({"Custom": name}, {"n": number})
    if kind == "operate":
        return link.operate(f"c{number % 2}", "Database", "query", number)
    if kind == "call":
        return link.extension_call("secrets", "get", number)
    if kind == "port":
        return link.request_port(m.PortRequest(request_id=name, specific_port=number), timeout=30)
    if kind == "route":
        route = m.RouteToModule(target_module_id=name, target_endpoint="e", request_id=uuid4(), payload=NULL)
        return link.route(route)
    if kind == "register":
        return link.register_provider("Cache", name, "a")
    return link.discover_providers({"Custom": name})


def result(kind: str, answer: Any) -> Any:
    """What of the answer tells for which question it is."""
    if kind == "secret":
        return answer[0]
    if kind == "port":
        return answer.port
    if kind == "route":
        return answer.source_module_id
    if kind == "discover":
        return answer[0].name
    return answer


def expected(kind: str, number: int) -> Any:
    return number if kind in ("operate", "call", "port") else f"{kind}{number}"


def answer_to(asked: Any) -> Any:
    """What an orchestrator says, with something of the question in it."""
    if isinstance(asked, m.GetSecret):
        return m.Secret(name=asked.name, value=asked.name)
    if isinstance(asked, m.ServiceRequest):
        assert isinstance(asked.service_type, dict)
        kind, name = asked.service_type, asked.service_type["Custom"]
        return m.ServiceResponse(id=asked.id, service_type=kind, success=True, connection_id=name)
    if isinstance(asked, m.ServiceOperation):
        return m.ServiceOperationResult(success=True, result=asked.params, operation_id=asked.operation_id)
    if isinstance(asked, ext.ExtensionCall):
        return ext.ExtensionResult(call_id=asked.call_id, success=True, result=asked.params)
    if isinstance(asked, m.PortRequest):
        return m.PortResponse(request_id=asked.request_id, success=True, port=asked.specific_port or 0)
    if isinstance(asked, m.RouteToModule):
        source = asked.target_module_id
        return m.RoutedModuleResponse(source_module_id=source, request_id=asked.request_id, payload=NULL)
    if isinstance(asked, m.RegisterServiceProvider):
        return m.RegisterServiceProviderResponse(success=True, provider_id=asked.name)
    assert isinstance(asked, m.DiscoverServiceProviders)
    assert isinstance(asked.service_type, dict)
    found = ServiceProvider(
        provider_id="p",
        module_id="m",
        service_type=asked.service_type,
        name=asked.service_type["Custom"],
        address="a",
        metadata={},
        is_healthy=True,
    )
    return m.DiscoverServiceProvidersResponse(success=True, providers=[found])


NOISE: list[Any] = [
    m.Secret(name="nobody", value="asked for this"),
    m.ServiceOperationResult(success=True, result="nobody's", operation_id="op-99999"),
    m.ServiceOperationResult(success=True, result="nobody's", params={"connection_id": "x", "operation": "y"}),
    m.PortResponse(request_id="x", success=True, port=1),
    m.ServiceResponse(id="x", service_type="Cache", success=True, connection_id="x"),
    ext.ExtensionResult(call_id="x", success=True),
    m.RoutedModuleResponse(source_module_id="x", request_id=uuid4(), payload=NULL),
]


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from(QUESTIONS), min_size=1, max_size=12),
    correlated=st.booleans(),
    data=st.data(),
)
def test_every_answer_reaches_who_asked_in_any_order_between_any_other(
    kinds: list[str], correlated: bool, data: st.DataObject
) -> None:
    draw: Callable[[Any], Any] = data.draw

    async def run() -> None:
        asked: list[Any] = []

        async def send(message: Any) -> None:
            asked.append(message)

        link = Link(send, frozenset({"secrets", *(["correlation"] if correlated else [])}))
        tasks = [asyncio.create_task(question(link, kind, number)) for number, kind in enumerate(kinds)]
        answered: list[Any] = []
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            if draw(st.booleans()):
                link.receive(draw(st.sampled_from(NOISE)))
            repeatable = [each for each in answered if not _is_by_turn(each)]
            if repeatable and draw(st.booleans()):
                link.receive(draw(st.sampled_from(repeatable)))
            if asked:
                answer = answer_to(asked.pop(draw(st.integers(0, len(asked) - 1))))
                answered.append(answer)
                link.receive(answer)
        for number, (kind, task) in enumerate(zip(kinds, tasks, strict=True)):
            assert result(kind, task.result()) == expected(kind, number)
        await link.close()

    asyncio.run(run())


def _is_by_turn(answer: Any) -> bool:
    by_turn = (m.RegisterServiceProviderResponse, m.DiscoverServiceProvidersResponse)
    return isinstance(answer, by_turn) or (isinstance(answer, m.ServiceOperationResult) and answer.operation_id is None)


async def _silent(_message: Any) -> None:
    """Nobody answers."""


@pytest.mark.parametrize("kind", QUESTIONS)
async def test_nobody_waits_longer_than_the_link_lives(kind: str) -> None:
    link = Link(_silent, frozenset({"secrets"}))
    waiting = asyncio.create_task(question(link, kind, 1))
    for _ in range(5):
        await asyncio.sleep(0)
    await link.close()
    with pytest.raises(LinkClosed):
        await waiting
    with pytest.raises(LinkClosed):
        await question(link, kind, 2)


async def test_an_answer_that_comes_too_late_is_not_the_next_ones() -> None:
    link = Link(_silent)
    with pytest.raises(LinkTimeout, match=r"did not come within 0\.01 seconds"):
        await link.operate("c", "Database", "query", 1, timeout=0.01)
    with pytest.raises(LinkTimeout):
        await link.register_provider("Cache", "one", "a", timeout=0.01)
    second = asyncio.create_task(link.operate("c", "Database", "query", 2))
    provider = asyncio.create_task(link.register_provider("Cache", "two", "a"))
    for _ in range(5):
        await asyncio.sleep(0)
    for value in (1, 2):
        link.receive(m.ServiceOperationResult(success=True, result=value))
        link.receive(m.RegisterServiceProviderResponse(success=True, provider_id=str(value)))
    assert (await second, await provider) == (2, "2")


async def test_refusals_are_typed() -> None:
    link = Link(_silent)
    with pytest.raises(Unsupported, match="'secrets'"):
        await link.extension_call("secrets", "set", {})
    refused = asyncio.create_task(link.discover_providers("Cache"))
    operation = asyncio.create_task(link.operate("c", "Database", "query", 1))
    for _ in range(5):
        await asyncio.sleep(0)
    link.receive(m.DiscoverServiceProvidersResponse(success=False, providers=[], error="not here"))
    link.receive(m.ServiceOperationResult(success=False, error="no such table"))
    with pytest.raises(ServiceOperationFailed, match="not here"):
        await refused
    with pytest.raises(ServiceOperationFailed, match="no such table"):
        await operation
