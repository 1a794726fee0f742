"""OpenRaster: what is written is what the specification asks for, what comes back is read with everything checked."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from engine.errors import MediaError
from engine.interchange.openraster import Layer, read_openraster, write_openraster

SIZE = (60, 90)


def picture(seed: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, channels), np.uint8)


def layers() -> list[Layer]:
    return [
        Layer('Mask <"&\n', picture(1, 4), visible=False, opacity=0.5, locked=True),
        Layer("Paint here", picture(2, 4), selected=True),
        Layer("Source", picture(3), locked=True),
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_openraster(tmp_path / "a.ora", layers(), picture(4))
    return tmp_path / "a.ora"


def rebuilt(file: Path, **changes: bytes | None) -> Path:
    """The file with other contents of parts (None: without the part)."""
    with zipfile.ZipFile(file) as source:
        parts = {entry.filename: source.read(entry) for entry in source.infolist()}
    parts.update({name.replace("__", "/").replace("_", "."): blob for name, blob in changes.items()})
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, blob in parts.items():
            if blob is not None:
                out.writestr(name, blob)
    return file


def test_the_file_is_what_the_specification_asks_for(file: Path) -> None:
    assert file.read_bytes()[30:54] == b"mimetypeimage/openraster", "readers tell the format by these bytes"
    with zipfile.ZipFile(file) as source:
        first = source.infolist()[0]
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
        root = ElementTree.fromstring(source.read("stack.xml"))
        assert (root.tag, root.get("w"), root.get("h")) == ("image", "90", "60")
        rows = root.findall("./stack/layer")
        assert [row.get("visibility") for row in rows] == ["hidden", "visible", "visible"]
        assert rows[0].get("name") == 'Mask <"&' and rows[0].get("opacity") == "0.5" and rows[0].get("edit-locked") == "true"
        for row, layer in zip(rows, layers(), strict=True):
            shown = np.array(Image.open(io.BytesIO(source.read(row.get("src", "")))))
            assert (shown == layer.picture).all()
        thumbnail = Image.open(io.BytesIO(source.read("Thumbnails/thumbnail.png")))
        assert max(thumbnail.size) <= 256


def test_what_is_shown_comes_back_to_the_bit(file: Path) -> None:
    found = read_openraster(file)
    assert (found.picture == picture(4)).all() and found.shown == ("Paint here", "Source")


def test_equal_pictures_make_equal_files(file: Path, tmp_path: Path) -> None:
    write_openraster(tmp_path / "b.ora", layers(), picture(4))
    assert (tmp_path / "b.ora").read_bytes() == file.read_bytes()


def test_layers_in_hidden_groups_are_not_shown(file: Path) -> None:
    xml = b'<image w="90" h="60"><stack><stack visibility="hidden"><layer name="a"/></stack><layer name="b"/></stack></image>'
    assert read_openraster(rebuilt(file, stack_xml=xml)).shown == ("b",)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_one_sentence(file: Path, share: float) -> None:
    blob = file.read_bytes()
    file.write_bytes(blob[: max(1, int(len(blob) * share))])
    with pytest.raises(MediaError, match=r"a\.ora"):
        read_openraster(file)


BOMB = b'<!DOCTYPE a [<!ENTITY x "xxxx"><!ENTITY y "&x;&x;">]><image w="90" h="60"><stack/>&y;</image>'
OUTSIDE = b'<!DOCTYPE a SYSTEM "file:///etc/hostname"><image w="90" h="60"/>'


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mimetype": b"application/zip"}, "no OpenRaster picture"),
        ({"mergedimage_png": None}, "lacks a part"),
        ({"stack_xml": None}, "lacks a part"),
        ({"stack_xml": BOMB}, "document type"),
        ({"stack_xml": OUTSIDE}, "document type"),
        ({"stack_xml": b"<image w='90' h='60'>"}, "cannot be read"),
        ({"stack_xml": b"<image w='1e9' h='60'/>"}, "cannot be read"),
        ({"stack_xml": b"<image w='91' h='60'/>"}, "says 91×60"),
        ({"stack_xml": b" " * (5 * 2**20)}, "larger than"),
        ({"mergedimage_png": b"no picture"}, "damaged or cut off"),
    ],
)
def test_wrong_and_hostile_files_are_one_sentence(file: Path, changes: dict[str, bytes | None], says: str) -> None:
    with pytest.raises(MediaError, match=says):
        read_openraster(rebuilt(file, **changes))


def test_a_picture_that_would_fill_the_memory_is_refused_from_its_header(file: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = (100_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10**6)) + chunk(b"IEND", b"")
    with pytest.raises(MediaError, match=r"megapixels|damaged"):
        read_openraster(rebuilt(file, mergedimage_png=bomb))


def test_too_many_parts_are_refused(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as out:
        for number in range(2100):
            out.writestr(f"x{number}", b"")
    with pytest.raises(MediaError, match="parts"):
        read_openraster(file)
