"""What was once open in Gradio, and what still is by default, is closed here; on a server without a login, for all to see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.shared_house import House, running_house

PASSWD = b"root:"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("alone") / "home"
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(home / "uploads")
    with running_house(home, ()) as one:
        yield one
    os.environ.pop("GRADIO_TEMP_DIR") if before is None else os.environ.update(GRADIO_TEMP_DIR=before)


@pytest.fixture(scope="module")
def page(house: House) -> Iterator[httpx.Client]:
    with closing(house.client()) as one:
        yield one


def upload(page: httpx.Client, name: str, content: bytes = b"x", kind: str = "application/octet-stream") -> str:
    answer = page.post("/gradio_api/upload", files={"files": (name, content, kind)})
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


@pytest.mark.skipif(os.name != "posix", reason="paths of Unix")
def test_files_of_the_machine_are_not_read(house: House, page: httpx.Client) -> None:
    """CVE-2023-51449, GHSA-j2jg-fq62-7c3h: traversal, other spellings, a link put into the cache."""
    uploads = house.people.home / "uploads"
    (uploads / "link").symlink_to("/etc/passwd")
    source = Path(__file__).resolve().parent.parent / "app" / "guard.py"
    ways = ["/etc/passwd", "../" * 9 + "etc/passwd", f"{uploads}/" + "../" * 9 + "etc/passwd", f"{uploads}/link", "/ETC/passwd"]
    ways += [str(source), str(house.people.home / "projects"), "%2fetc%2fpasswd", "/proc/self/environ"]
    for path in ways:
        answer = page.get(f"/gradio_api/file={path}")
        assert answer.status_code in (403, 404) and PASSWD not in answer.content, path


def test_nothing_is_fetched_on_anothers_word(house: House, page: httpx.Client) -> None:
    """CVE-2026-59806 and the SSRF of /queue/join: neither from this machine nor from elsewhere."""
    for place in ("http://127.0.0.1:1/x", "http://192.0.2.1/x", "https://192.0.2.1/x", "HTTP://192.0.2.1/x", " http://192.0.2.1"):
        assert page.get(f"/gradio_api/file={place}").status_code in (403, 404), place
        for data in ([{"path": place, "meta": {"_type": "gradio.FileData"}}], [[{"deep": {"path": place}}]]):
            answer = page.post("/gradio_api/call/open_upload", json={"data": data})
            assert answer.status_code == 403 and "elsewhere" in answer.json()["error"]
            joined = page.post("/gradio_api/queue/join", json={"data": data, "fn_index": 0, "session_hash": "s"})
            assert joined.status_code == 403
    assert page.get("/gradio_api/proxy=http://127.0.0.1:1/").status_code == 404


def test_a_forged_file_is_refused(house: House, page: httpx.Client) -> None:
    """CVE-2024-47868 and its kin: what is named as an upload must be one."""
    for number, one in house.page.fns.items():
        at = next((i for i, part in enumerate(one.inputs) if type(part).__name__ == "UploadButton"), None)
        if at is None:
            continue
        data: list[Any] = [None] * len(one.inputs)
        data[at] = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
        page.post("/gradio_api/queue/join", json={"data": data, "fn_index": number, "session_hash": f"forged{number}"})
        said = page.get("/gradio_api/queue/data", params={"session_hash": f"forged{number}"}).text
        assert '"success":false' in said and "root:" not in said and "Traceback" not in said


def test_uploads_come_back_as_downloads_under_tame_names(house: House, page: httpx.Client) -> None:
    """CVE-2024-47872: markup that was uploaded is never shown as a page."""
    for name in ("a.html", "a.svg", "a.xhtml", "a.js"):
        answer = page.get(f"/gradio_api/file={upload(page, name, b'<script>1</script>', 'text/html')}")
        assert answer.headers["content-disposition"].startswith("attachment"), name
        assert answer.headers["x-content-type-options"] == "nosniff"
    for name in ("../../evil.mp4", "..\\evil.mp4", "a" * 400 + ".mp4", "CON", "x\ny.mp4", ".htaccess"):
        path = Path(upload(page, name))
        assert path.resolve().is_relative_to(house.people.home / "uploads") and len(path.name) < 256


def test_other_sites_and_names_get_nothing(house: House, page: httpx.Client) -> None:
    """CVE-2024-1727 and rebinding: Gradio takes such uploads and only hides the answer."""
    files = {"files": ("a.mp4", b"x")}
    before = sorted((house.people.home / "uploads").rglob("*"))
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert page.post("/gradio_api/upload", files=files, headers=headers).status_code == 403
        assert page.post("/gradio_api/queue/join", json={}, headers=headers).status_code == 403
    assert page.get("/config", headers={"host": "evil.example"}).status_code == 421
    assert sorted((house.people.home / "uploads").rglob("*")) == before
    plain = page.post("/gradio_api/queue/join", content=b"{}", headers={"content-type": "text/plain"})
    assert plain.status_code == 415


def test_listeners_take_no_direct_calls_and_settings_are_closed(house: House, page: httpx.Client) -> None:
    for path in ("run/predict", "api/predict", "vibe-code", "component_server", "process_recording", "stream/x", "deep_link"):
        assert page.post(f"/gradio_api/{path}", json={"data": []}).status_code == 404
    assert house.page.allowed_paths == [] and house.page.show_error is False and house.page.share is False
    assert house.page.analytics_enabled is False and house.page.mcp_server is False


def test_the_listing_of_the_page_names_no_path(house: House, page: httpx.Client) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/theme.css"):
        assert str(house.people.home).encode() not in page.get(path).content, path
