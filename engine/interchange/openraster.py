"""OpenRaster pictures (.ora), the layered format that Krita, GIMP and MyPaint share: a zip with mimetype, stack.xml, PNGs.

Written by the specification 0.0.3. Read from its merged picture, which every writer must put in, with everything
checked: the file comes back from another program.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
from PIL import Image

from engine.errors import MediaError
from engine.interchange.files import whole
from engine.media.images import MAX_STILL_PIXELS
from engine.media.probe import check_file

MIMETYPE = b"image/openraster"
THUMBNAIL = 256  # px of its longer side at most, says the specification
MAX_ENTRIES = 2_000
MAX_XML = 4 * 2**20
MAX_PICTURE = 2 * 2**30
PNG_LEVEL = 1
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # equal pictures make equal files


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """`picture` (H, W, 3) or, with transparency, (H, W, 4) uint8; `opacity` 0–1; `locked` asks editors not to change it."""

    name: str
    picture: np.ndarray
    visible: bool = True
    opacity: float = 1.0
    locked: bool = False
    selected: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Painting:
    """What a saved file shows: `picture` (H, W, 3) or (H, W, 4) uint8, and the names of the layers that are switched on."""

    picture: np.ndarray
    shown: tuple[str, ...] = ()


# --- writing ----------------------------------------------------------------------------------------------


def write_openraster(path: Path, layers: Sequence[Layer], merged: np.ndarray) -> None:
    """Writes layers, the topmost first, all of the size of `merged` (H, W, 3) uint8, which is what they show together.

    Raises:
        MediaError: the disk does not take it.
    """
    with whole(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as out:
        _put(out, "mimetype", MIMETYPE)  # first and stored, so that its place in the file tells the format
        _put(out, "stack.xml", _stack(layers, merged.shape[:2]).encode(), zipfile.ZIP_DEFLATED)
        for number, layer in enumerate(layers):
            _put(out, _source(number), _png(layer.picture))
        _put(out, "mergedimage.png", _png(merged))
        _put(out, "Thumbnails/thumbnail.png", _png(_thumbnail(merged)))


def _put(out: zipfile.ZipFile, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.compress_type = compression
    out.writestr(entry, content)


def _source(number: int) -> str:
    return f"data/{number:03d}.png"


def _stack(layers: Sequence[Layer], size: tuple[int, ...]) -> str:
    rows = [
        f"<layer name={quoteattr(_plain(layer.name))} src={quoteattr(_source(number))} {_attributes(layer)}/>"
        for number, layer in enumerate(layers)
    ]
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<image version="0.0.3" w="{size[1]}" h="{size[0]}" xres="72" yres="72">'
    return "\n  ".join([f"{head}\n <stack>", *rows]) + "\n </stack>\n</image>\n"


def _attributes(layer: Layer) -> str:
    flags = (' edit-locked="true"' if layer.locked else "") + (' selected="true"' if layer.selected else "")
    shown = "visible" if layer.visible else "hidden"
    return f'x="0" y="0" opacity="{layer.opacity:g}" visibility="{shown}" composite-op="svg:src-over"{flags}'


def _plain(name: str) -> str:
    """A name without what XML cannot hold."""
    return "".join(letter for letter in name if letter.isprintable())


def _png(picture: np.ndarray) -> bytes:
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, blob = cv2.imencode(".png", cv2.cvtColor(picture, order), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    if not done:
        raise MediaError(f"A layer of shape {picture.shape} could not be stored as PNG; report this clip.")
    return blob.tobytes()


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, THUMBNAIL / max(picture.shape[:2]))
    size = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


# --- reading ----------------------------------------------------------------------------------------------


def read_openraster(path: Path) -> Painting:
    """What an OpenRaster file shows.

    Raises:
        MediaError: not such a file, cut off, without its merged picture, or made to do harm.
    """
    file = check_file(path)
    try:
        with zipfile.ZipFile(file) as source:
            entries = source.infolist()
            if len(entries) > MAX_ENTRIES:
                raise MediaError(f"“{path.name}” has more than {MAX_ENTRIES} parts; flatten the picture and save it again.")
            if _entry(source, "mimetype", 64).strip() != MIMETYPE:
                raise MediaError(f"“{path.name}” is a zip but no OpenRaster picture; save it as OpenRaster (.ora), or as PNG.")
            size, shown = _parsed(_entry(source, "stack.xml", MAX_XML), path.name)
            blob = _entry(source, "mergedimage.png", MAX_PICTURE)
    except KeyError as error:
        raise MediaError(f"“{path.name}” lacks a part that OpenRaster asks for ({error.args[0]}); save it as PNG.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError, OSError) as error:
        raise MediaError(f"“{path.name}” is cut off, or no OpenRaster picture; save it again.") from error
    return Painting(_merged(blob, size, path.name), shown)


def _entry(source: zipfile.ZipFile, name: str, most: int) -> bytes:
    """One entry, never longer than `most` bytes. Raises KeyError where there is none."""
    entry = source.getinfo(name)
    if entry.file_size > most:
        raise MediaError(f"“{name}” in the OpenRaster file is larger than a picture can be; it is not read.")
    with source.open(entry) as packed:
        content = packed.read(entry.file_size + 1)  # what is longer than it says fails its checksum
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(name)
    return content


def _parsed(xml: bytes, name: str) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) and the layers that are switched on, from stack.xml. Refuses documents with a type and entities."""
    found: list[dict[str, str]] = []
    shown: list[str] = []
    hidden: list[bool] = []

    def begin(tag: str, given: dict[str, str]) -> None:
        if tag == "image" and not found:
            found.append(given)
        hidden.append(given.get("visibility", "visible") == "hidden")
        if tag == "layer" and not any(hidden):
            shown.append(_plain(given.get("name", ""))[:120])

    def refuse(*given: object) -> None:
        raise MediaError(f"“{name}” holds XML with a document type, which no picture needs; it is not read.")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, lambda tag: hidden.pop() and None
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(xml, True)
        width, height = int(found[0]["w"]), int(found[0]["h"])
    except (expat.ExpatError, IndexError, KeyError, ValueError) as error:
        raise MediaError(f"“{name}” has a stack.xml that cannot be read; save the picture again, or as PNG.") from error
    return (height, width), tuple(shown)


def _merged(blob: bytes, size: tuple[int, int], name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(blob), formats=["PNG"]) as image:
            if image.width * image.height > MAX_STILL_PIXELS:
                raise MediaError(f"“{name}” has more than {MAX_STILL_PIXELS // 10**6} megapixels; scale it down first.")
            if (image.height, image.width) != size:
                raise MediaError(
                    f"“{name}” shows {image.width}×{image.height} px and says {size[1]}×{size[0]}; save it as PNG instead."
                )
            clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            return np.array(image.convert("RGBA" if clear else "RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise MediaError(f"“{name}” holds a picture that is damaged or cut off; save it again.") from error
