"""The folder of files, the routes of the first document, the API's document, and the pages in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server.app import create_chaintracks_app
from sdk.chaintracks.server.cdn import HeaderFolder
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.core.header import BlockHeader
from sdk.service.database import Database
from sdk.service.http_app import create_app, running
from sdk.service.http_client import HttpClient
from support.browser import browser
from support.header_rig import GENESIS, HeaderNetwork, grown, mined, raw
from support.header_server import header_server
from support.requirements import vectors

if TYPE_CHECKING:
    from pathlib import Path

    from support.browser import Page


def real_headers(folder: str) -> list[BlockHeader]:
    """Of the main network, from its first block."""
    names = json.loads(vectors("headers", folder, "mainNetBlockHeaders.json").read_text())["files"]
    data = b"".join(vectors("headers", folder, each["fileName"]).read_bytes() for each in names)
    return [BlockHeader.from_bytes(data[at : at + 80]) for at in range(0, len(data), 80)]


async def test_the_folder_is_that_of_the_reference(tmp_path: Path) -> None:
    """Index and files, member by member, from the chain alone."""
    theirs = json.loads(vectors("headers", "cdnTest402", "mainNetBlockHeaders.json").read_text())
    headers = real_headers("cdnTest402")
    async with header_server(tmp_path, network="main", headers=headers) as served:
        folder = HeaderFolder(served.service.chain, per_file=100)
        async with (
            running(create_app("folder", folder.routes())) as server,
            HttpClient(server.url, service="f") as http,
        ):
            root = f"{server.url}/blockheaders"
            for _ in range(2):  # the second time from what was kept
                ours = await http.get_json("/blockheaders/mainNetBlockHeaders.json")
                assert (ours["rootFolder"], ours["headersPerFile"]) == (root, 100)
                assert ours["jsonFilename"] == "mainNetBlockHeaders.json"
                assert ours["files"] == [{**each, "sourceUrl": root} for each in theirs["files"]]
            for each in ours["files"]:
                answer = await http.request("GET", f"/blockheaders/{each['fileName']}")
                assert base64.b64encode(hashlib.sha256(answer.body).digest()).decode() == each["fileHash"]
            part = await http.request("GET", "/blockheaders/mainNet_1.headers", headers={"Range": "bytes=800-"})
            assert (part.status, part.body) == (206, raw(headers[110:200]))
            assert (await http.request("GET", "/blockheaders/mainNet_5.headers", check=False)).status == 404
            assert (await http.request("GET", "/blockheaders/mainNet_x.headers", check=False)).status == 404


async def test_a_reorganisation_changes_the_last_file(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=20) as served:
        folder = HeaderFolder(served.service.chain, per_file=10)
        async with (
            running(create_app("folder", folder.routes())) as server,
            HttpClient(server.url, service="f") as http,
        ):
            path = "/blockheaders/mockNetBlockHeaders.json"
            before = (await http.request("GET", path)).headers["ETag"]
            await served.reorganise(3, 4)
            answer = await http.request("GET", path, headers={"If-None-Match": before})
            assert [each["count"] for each in answer.json()["files"]] == [10, 10, 2]
            for number, each in enumerate(answer.json()["files"]):
                whole = raw(served.headers[number * 10 : number * 10 + 10])
                assert (await http.request("GET", f"/blockheaders/{each['fileName']}")).body == whole
                assert each["fileHash"] == base64.b64encode(hashlib.sha256(whole).digest()).decode()


async def test_the_routes_of_the_first_document(tmp_path: Path) -> None:
    txid = "ab" * 32
    async with header_server(tmp_path) as served, HttpClient(served.url, service="first") as http:
        health = await http.request("GET", "/health", check=False)
        assert (health.status, health.json()["status"], health.json()["height"]) == (503, "unhealthy", 5)
        assert (await http.get_json("/header/height/3"))["value"]["hash"] == served.headers[3].hash()
        assert (await http.request("GET", "/header/height/6", check=False)).status == 404
        assert (await http.request("GET", "/header/height/x", check=False)).status == 400
        for path in ("tx", "merkle"):
            answer = await http.request("GET", f"/{path}/{txid}", check=False)
            assert (answer.status, answer.json()["code"]) == (501, "WERR_NOT_IMPLEMENTED")
            assert "sdk.chaintracks.transactions" in answer.json()["description"]
            assert (await http.request("GET", f"/{path}/xyz", check=False)).status == 400


async def test_the_document_has_every_route_and_no_other(tmp_path: Path) -> None:
    async with header_server(tmp_path) as served, HttpClient(served.url, service="docs") as http:
        app = create_chaintracks_app(served.service)
        pages = {"/", "/robots.txt", "/dashboard", "/docs", "/openapi.json", "/openapi.yaml", "/static/{name}"}
        routes = {each.resource.canonical for each in app.router.routes() if each.resource is not None} - pages
        document = await http.get_json("/openapi.json")
        assert set(document["paths"]) == routes
        for path, methods in document["paths"].items():
            for operation in methods.values():
                named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
                assert named == set(re.findall(r"{(\w+)}", path))
        yaml = await http.request("GET", "/openapi.yaml")
        assert (yaml.content_type, json.loads(yaml.body)) == ("application/yaml", document)


def fits(value: Any, schema: dict[str, Any], named: dict[str, Any]) -> bool:
    """Whether ``value`` has exactly the members, and each the kind, that the document says."""
    if "$ref" in schema:
        return fits(value, named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema:
        return any(fits(value, each, named) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    match schema["type"]:
        case "object":
            members = schema.get("properties", {})
            others = schema.get("additionalProperties")
            return (
                isinstance(value, dict)
                and set(schema.get("required", ())) <= set(value)
                and all(name in members or others is not None for name in value)
                and all(fits(each, members.get(name, others), named) for name, each in value.items())
            )
        case "array":
            return isinstance(value, list) and all(fits(each, schema["items"], named) for each in value)
        case "integer":
            return type(value) is int and schema.get("minimum", value) <= value <= schema.get("maximum", value)
        case kind:
            right = {"string": str, "boolean": bool, "null": type(None)}[kind]
            return type(value) is right and re.fullmatch(schema.get("pattern", r"(?s).*"), str(value)) is not None


async def test_answers_have_the_shapes_of_the_document(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=9) as served, HttpClient(served.url, service="docs") as http:
        await served.reorganise(2, 3)
        document = await http.get_json("/openapi.json")
        named, checked = document["components"]["schemas"], 0
        tip = served.headers[-1]
        given = {"height": "7", "count": "3", "hash": tip.hash(), "wait": "1", "number": "0", "txid": "ab" * 32}
        for path, methods in document["paths"].items():
            operation = methods.get("get", {"responses": {}, "parameters": ()})
            schema = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
            if schema is None or path == "/v2/ws":
                continue
            parts = {each["name"]: given[each["name"]] for each in operation["parameters"]}
            query = {each["name"]: given[each["name"]] for each in operation["parameters"] if each["in"] == "query"}
            answer = await http.request("GET", path.format(**parts), params=query, check=False)
            if answer.status == 501:
                assert fits(answer.json(), named["Error"], named), (path, answer.json())
            else:
                assert fits(answer.json(), schema, named), (path, schema, answer.json())
                checked += 1
        assert checked == 21
        fields = (await http.get_json("/v2/tip/header"))["value"]
        assert fits({name: fields[name] for name in named["HeaderFields"]["properties"]}, named["HeaderFields"], named)
        for path in ("/v2/header/height/x", "/v2/header/height/99", "/getHeaders?height=-1", "/nothing"):
            answer = await http.request("GET", path, check=False)
            assert fits(answer.json(), named["Error"], named), (path, answer.json())


async def test_pages_are_served_whole_and_safe(tmp_path: Path) -> None:
    async with header_server(tmp_path) as served, HttpClient(served.url, service="pages") as http:
        for path in ("/", "/dashboard", "/docs"):
            page = await http.request("GET", path, headers={"Accept": "text/html"})
            assert page.content_type == "text/html"
            assert "script-src 'self'" in page.headers["Content-Security-Policy"]
            assert "unsafe" not in page.headers["Content-Security-Policy"]
            text = page.text()
            assert not re.search(r"https?://|<script(?! src)|\son\w+=|style=", text)
            for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
                assert (await http.request("GET", name)).content_type in ("text/javascript", "text/css")
        assert (await http.request("GET", "/")).text() == "Chaintracks mockNet Block Header Service"
        for name in ("none.js", "..%2Fpages.py", "%00"):
            assert (await http.request("GET", f"/static/{name}", check=False)).status == 404


async def text(page: Page, name: str) -> str:
    return str(await page.evaluate(f"document.getElementById('{name}').textContent"))


async def test_a_browser_shows_the_dashboard_and_the_api(tmp_path: Path) -> None:
    async with header_server(tmp_path, start=9) as served, browser(tmp_path) as page:
        await served.reorganise(3, 5)
        await page.open(f"{served.url}/dashboard")
        await page.until("document.getElementById('height')?.textContent === '11'")
        await page.until("document.querySelectorAll('svg .gone').length === 3")
        assert await page.evaluate("document.querySelectorAll('svg .kept').length") == 5
        assert await page.evaluate("document.querySelectorAll('#blocks rect').length") == 12
        assert await text(page, "state") == "not current"
        assert await text(page, "tip") == served.headers[-1].hash()
        await page.until("document.getElementById('subscribers').textContent === '1'")  # this page's own stream
        await served.grow()
        await page.until("document.getElementById('height').textContent === '12'")  # pushed, not asked for
        await page.until("document.querySelectorAll('#blocks rect').length === 13")
        search = "document.getElementById('wanted').value = '{}'; document.querySelector('button').click()"
        await page.evaluate(search.format(served.headers[4].hash()))
        await page.until("document.getElementById('found').textContent.includes('\"height\": 4')")
        await page.evaluate(search.format("99"))
        await page.until("document.getElementById('found').textContent === 'Header not found at height 99'")
        await page.evaluate(search.format("3"))
        await page.until("document.getElementById('found').textContent.includes('\"height\": 3')")
        await pictured(page, tmp_path, "search")
        await page.open(f"{served.url}/docs")
        await page.until("document.body.textContent.includes('GET /v2/tip/stream')")
        assert await page.evaluate("document.body.textContent.includes('POST /addHeaderHex')")
        await pictured(page, tmp_path, "docs")
        assert [each for each in page.complaints if "favicon" not in each and "404" not in each] == []


async def pictured(page: Page, folder: Path, name: str) -> None:
    picture = await page.screenshot()
    (folder / f"{name}.png").write_bytes(picture)
    assert len(picture) > 10_000


def lately(count: int) -> list[BlockHeader]:
    """Whose last block is a minute old."""
    first = mined(GENESIS, time=int(time.time()) - 60 - 600 * (count - 1))
    return grown([GENESIS, first], count - 1)


WIDTH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def test_the_dashboard_shows_how_far_a_sync_is_also_on_a_telephone(tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(2_400)
    async with AsyncExitStack() as opened:
        page = await opened.enter_async_context(browser(tmp_path))
        url = await opened.enter_async_context(network.served())
        database = await opened.enter_async_context(await Database.open(f"sqlite:///{tmp_path}/h.sqlite"))
        network.odd["/block/2100/header"] = {"no": "header"}  # the second stretch of 2,000 does not come
        service = await Chaintracks.open("mock", database, [WhatsOnChainSource(url)], interval=3600)
        opened.push_async_callback(service.stop)
        await service.sync()
        service.followers[0].failures, service.followers[0].last_error = 0, None  # it is asked again just now
        async with running(create_chaintracks_app(service)) as server:
            for width in (400, 1000):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
                await page.call("Emulation.setDeviceMetricsOverride", **size)
                await page.open(f"{server.url}/dashboard")
                await page.until("document.getElementById('state')?.textContent === 'syncing'")
                assert await text(page, "part") == "1,999 of 2,400 headers, 83 %"
                assert await text(page, "behind") == "401 ahead"
                assert "syncing" in await text(page, "sources")
                assert await page.evaluate(WIDTH) == 0
                await pictured(page, tmp_path, f"syncing-{width}")
                await page.open(f"{server.url}/docs")
                await page.until("document.body.textContent.includes('GET /v2/tip/stream')")
                assert await page.evaluate(WIDTH) == 0
            del network.odd["/block/2100/header"]
            await service.sync()
            await page.open(f"{server.url}/dashboard")
            await page.until("document.getElementById('state')?.textContent === 'current'")
            assert await page.evaluate("document.getElementById('syncing').hidden")


async def test_the_dashboard_shows_at_a_glance_that_all_is_well_and_what_is_not(tmp_path: Path) -> None:
    """Empty, in step with its sources after a reorganisation, left by its sources, and gone itself."""
    network, other = HeaderNetwork(), HeaderNetwork()
    async with AsyncExitStack() as opened:
        page = await opened.enter_async_context(browser(tmp_path))
        urls = [await opened.enter_async_context(each.served()) for each in (network, other)]
        database = await opened.enter_async_context(await Database.open(f"sqlite:///{tmp_path}/h.sqlite"))
        now = [0.0]
        service = await Chaintracks.open("mock", database, [WhatsOnChainSource(each) for each in urls], interval=3600)
        service._monotonic = lambda: now[0]
        for each in service.followers:
            each._clock = lambda: now[0]
        app = create_chaintracks_app(service)
        async with running(app) as server:
            await page.open(f"{server.url}/dashboard")
            await page.until("document.getElementById('height')?.textContent === '0'")
            assert (await text(page, "state"), await text(page, "behind")) == ("not current", "none answers")
            assert "not synchronised yet" in await text(page, "reason")
            assert await text(page, "reorgs") == "none since this process began"
            await pictured(page, tmp_path, "empty")
            network.chain = other.chain = lately(40)
            await service.sync()
            await page.until("document.getElementById('state').textContent === 'current'")
            assert await page.evaluate("document.getElementById('reason').hidden")
            assert (await text(page, "height"), await text(page, "behind")) == ("40", "in step")
            await pictured(page, tmp_path, "normal")
            network.reorganise(2, 4)
            await service.sync()
            await page.until("document.querySelectorAll('svg .gone').length === 2")
            network.reorganise(14, 20, salt="deep")
            await service.sync()
            await page.until("document.querySelectorAll('svg .gone').length === 16")
            assert "14 blocks left above height 28" in await text(page, "reorgs")
            await pictured(page, tmp_path, "reorg")
            network.failing, other.failing, now[0] = True, True, 10_000.0
            await service.sync()
            await page.evaluate("refresh()")
            await page.until("document.getElementById('state').textContent === 'not current'")
            assert "no source has confirmed the tip" in await text(page, "reason")
            assert "backing off" in await text(page, "sources")
            assert await text(page, "behind") == "none answers"
            await pictured(page, tmp_path, "stale")
        await page.until("document.getElementById('state').textContent === 'no answer'")
        assert "may be old" in await text(page, "reason")
        await pictured(page, tmp_path, "gone")
        await service.stop()
