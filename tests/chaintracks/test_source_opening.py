"""What an operator writes after ``--source``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.sources.cdn import CdnSource
from sdk.chaintracks.sources.header_service import HeaderServiceSource
from sdk.chaintracks.sources.opening import SourceContext, open_sources
from sdk.chaintracks.sources.p2p import PeerSource
from sdk.chaintracks.sources.whatsonchain import DevnetSource, WhatsOnChainSource
from sdk.core.chain import MAIN, MOCK, TERATEST
from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from sdk.core.chain import ChainParameters


async def kinds(parameters: ChainParameters, *written: str) -> list[type]:
    found = open_sources(written, SourceContext(parameters))
    for each in found:
        await each.close()
    return [type(each) for each in found]


async def test_a_public_network_has_sources_of_its_own() -> None:
    assert await kinds(MAIN) == [CdnSource, WhatsOnChainSource, PeerSource]


async def test_kinds_places_and_urls_may_be_mixed() -> None:
    written = ("p2p:127.0.0.1,localhost:9", "http://127.0.0.1:1/v1/bsv/mock", "whatsonchain:https://x.example/v1")
    assert await kinds(MOCK, *written) == [PeerSource, WhatsOnChainSource, WhatsOnChainSource]
    others = ("devnet", "devnet:http://127.0.0.1:1", "chaintracks:http://127.0.0.1:2", "cdn:http://127.0.0.1:3/x")
    assert await kinds(MOCK, *others) == [DevnetSource, DevnetSource, HeaderServiceSource, CdnSource]


@pytest.mark.parametrize(
    ("parameters", "written", "reason"),
    [
        (MOCK, (), "no public source serves mock"),
        (MOCK, ("p2p",), "mock has no seeds"),
        (TERATEST, ("p2p:127.0.0.1",), "magic is not known"),
        (MAIN, ("p2p:host:port",), "no address of a node"),
        (
            MAIN,
            ("carrier-pigeon",),
            r"no kind of source is named 'carrier-pigeon' \(there are cdn, chain",
        ),
        (MOCK, ("cdn",), "no CDN serves mock"),
        (MAIN, ("cdn:/no/such/folder",), "no such folder"),
        (MAIN, ("chaintracks",), "write chaintracks:http"),
        (MAIN, ("ftp://example",), "no kind of source is named 'ftp'"),
    ],
)
async def test_what_cannot_work_is_refused_in_one_line(
    parameters: ChainParameters, written: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        open_sources(written, SourceContext(parameters))
    assert "\n" not in str(caught.value)
