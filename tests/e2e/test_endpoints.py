"""The main job without a browser: by gradio_client's named endpoints, and by an MCP client where its package is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client

from engine.media.reader import open_video
from tests.bench.editor import editor_server
from tests.e2e.driving import FRAMES, HEIGHT, WIDTH, disc


@pytest.fixture(scope="module")
def client(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server.base, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.mark.slow
def test_from_a_path_to_a_finished_clip(client: Client, clip: Path) -> None:
    def call(name: str, *given: Any) -> Any:
        return client.predict(*given, api_name=f"/{name}")

    project = call("open_clip", str(clip))["project"]
    assert call("wait", project, 100)["prepared"]
    x, y = disc(0)
    state = call("mark_points", project, 0, [[x, y, 1], [5, 5, -1]])
    assert state["subjects"][0]["marked"] == [0] and not state["anchors"]
    take = call("make_take", project, 0, "recolour", {"colour": "#2050ff"})
    state = call("approve", project, 0, take["take"])
    assert state["anchors"] == [{"frame": 0, "approved": take["take"], "takes": [take["take"]]}]
    call("set_method", project, "motion")
    assert call("propagate", project)["kind"] in ("propagate", "carry")
    state = call("wait", project, 200)
    assert {one["state"] for one in state["segments"]} == {"done"} and not state["waiting"]
    name = call("export", project)["name"]
    assert name in call("wait", project, 200)["exports"]
    with open_video(Path(call("download", project, name))) as finished:
        assert (finished.video.frames, finished.video.size) == (FRAMES, (HEIGHT, WIDTH))
        blue = finished.get(0)[y, x].astype(int)
        assert blue[2] > blue[0]


def test_failures_are_sentences(client: Client, server: Any) -> None:
    for given, said in (
        (("get_state", "nobody"), "not the id of a project"),
        (("open_clip", "no/such/clip.mp4"), "clip.mp4"),
        (("make_take", server.project, 0, "melt"), "There is no effect 'melt'; there are recolour"),
        (("set_method", server.project, "magic"), "There is no method 'magic'"),
        (("set_method", server.project, "via", {"order": "x"}), "There is no text 'order'"),
        (("make_take", server.project, 0, "recolour", {"shade": 1}), "There is no setting 'shade'"),
        (("mark_points", server.project, 0, [[1, 2]]), "A point is"),
        (("mark_points", server.project, 999, [[1, 2, 1]]), "There is no frame 999"),
        (("download", server.project), "Nothing is exported yet"),
    ):
        with pytest.raises(Exception, match=said):
            client.predict(*given[1:], api_name=f"/{given[0]}")


def test_only_these_endpoints_are_listed(client: Client) -> None:
    listed = client.view_api(return_format="dict")["named_endpoints"]
    assert {"/open_clip", "/mark_points", "/approve", "/propagate", "/wait", "/export", "/download"} <= set(listed)
    assert all(parameter["python_type"]["type"] != "Any" for one in listed.values() for parameter in one["parameters"])


def test_an_mcp_client_finds_and_calls_the_tools(tmp_path: Path, clip: Path) -> None:
    if importlib.util.find_spec("mcp") is None:
        pytest.skip("the package mcp is not installed")
    import asyncio

    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def drive(base: str) -> tuple[dict[str, str], dict[str, Any]]:
        async with streamablehttp_client(f"{base}/gradio_api/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            tools = {tool.name: tool.description or "" for tool in (await session.list_tools()).tools}
            answer = await session.call_tool("open_clip", {"path": str(clip)})
            return tools, ast.literal_eval(answer.content[0].text)  # type: ignore[union-attr]

    with editor_server(tmp_path / "home", "--mcp", str(clip)) as server:
        server.wait_for("/")
        assert server.page
        tools, state = asyncio.run(drive(server.base))
    assert {"open_clip", "mark_points", "approve", "propagate", "wait", "export"} <= set(tools)
    assert "video file" in tools["open_clip"]
    assert state["clip"] == {"frames": FRAMES, "width": WIDTH, "height": HEIGHT, "rate": state["clip"]["rate"]}
