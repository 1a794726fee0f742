"""Stills: pictures and masks that people bring, and the PNGs that the engine keeps."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from engine.errors import MediaError
from engine.media.probe import check_file

MAX_STILL_PIXELS = 178_000_000
# Only formats that are pixels: no EPS (runs a program), no WMF, no PDF.
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "TGA", "AVIF", "JPEG2000", "DIB", "PCX")
PNG_LEVEL = 1


def read_image(path: str | Path) -> np.ndarray:
    """A still as (H, W, 3) uint8 RGB, upright. Transparency is dropped, colours stay as stored (our choice).

    Raises:
        MediaError: not a readable picture, or more than 178 megapixels.
    """
    return to_rgb(load_pixels(path))


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 1–4) of any number type → (H, W, 3) uint8 RGB; floats are 0–1, integers use their full range."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = np.broadcast_to(_to_uint8(pixels), (*pixels.shape[:2], 3))
    return np.ascontiguousarray(pixels)


def load_pixels(path: str | Path) -> np.ndarray:
    """The stored numbers of a still, upright: (H, W) or (H, W, C) of bool, uint8, uint16, int32 or float32.

    Palette pictures are given as RGB.

    Raises:
        MediaError: not a readable picture, or more than 178 megapixels.
    """
    picture = _open(path)
    with picture:
        return _numbers(picture, Path(path).name)


def load_deep(path: str | Path) -> np.ndarray | None:
    """A still with 16 bits per colour as (H, W, 1–4) uint16 RGB(A); None for one that has fewer. Raises MediaError.

    Pillow gives the upper 8 bits of such pictures only.
    """
    resolved = check_file(path)
    with open(resolved, "rb") as file:
        head = file.read(26)
    if not (head.startswith(b"\x89PNG") and head[24] == 16) and not head.startswith((b"II*\0", b"MM\0*")):
        return None
    still_size(path)  # refuses what is too large from the header
    pixels = cv2.imdecode(np.fromfile(resolved, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        return None
    if pixels.ndim == 2:
        return pixels[..., None]
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}.get(pixels.shape[2])
    return pixels if order is None else cv2.cvtColor(pixels, order)


def still_size(path: str | Path) -> tuple[int, int]:
    """(height, width) upright of a still, from its header. Raises MediaError."""
    with _open(path) as picture:
        try:
            turned = picture.getexif().get(0x0112, 1) >= 5  # for a PNG this reads the whole picture
        except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
            raise MediaError(f"“{Path(path).name}” is cut off or damaged; copy it again from where it came from.") from error
        return (picture.width, picture.height) if turned else (picture.height, picture.width)


def fit_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Brings an (H, W, 3) uint8 picture to `size` (height, width): scaled to cover it, then cropped about the middle."""
    height, width = size
    scale = max(height / image.shape[0], width / image.shape[1])
    large = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    scaled = cv2.resize(image, large, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def read_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """A mask that somebody brought, as (H, W) uint8 alpha: 0 outside, 255 inside, between on soft edges.

    Reads 0/1 and 0/255 pictures, 16-bit, float (0–1), 1-bit, RGB, palette (index 0 is outside), transparency
    where the colours say nothing, EXIF rotation, and `.npy`. `size` is the (height, width) it must have.

    Raises:
        MediaError: not readable, not finite, or of another size.
    """
    name = Path(path).name
    alpha = _mask_array(check_file(path), name) if Path(path).suffix.lower() == ".npy" else _mask_picture(path, name)
    if alpha.shape != tuple(size):
        was, wanted = f"{alpha.shape[1]}×{alpha.shape[0]}", f"{size[1]}×{size[0]}"
        raise MediaError(f"The mask “{name}” is {was} px and the clip is {wanted} px; scale the mask to {wanted}.")
    return np.ascontiguousarray(alpha)


def encode_png(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB or (H, W) uint8 → PNG bytes, lossless."""
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, blob = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    if not done:
        raise MediaError(f"A picture of shape {picture.shape} could not be stored as PNG; report this clip.")
    return blob.tobytes()


def decode_png(blob: bytes) -> np.ndarray:
    """PNG bytes of `encode_png` → (H, W, 3) uint8 RGB, or (H, W) uint8 for a grey one. Raises MediaError."""
    pixels = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED) if blob else None
    if pixels is None:
        raise MediaError("A stored picture is damaged; undo the last step or make the picture again.")
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _open(path: str | Path) -> Image.Image:
    name, resolved = Path(path).name, check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.init()
            picture = Image.open(resolved, formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise MediaError(f"“{name}” has more than {MAX_STILL_PIXELS // 10**6} megapixels; scale it down first.") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        deep = _deep_tiff(resolved, name)
        if deep is not None:
            return deep
        raise MediaError(f"“{name}” is not a picture that can be read; save it as PNG or JPEG.") from error
    if picture.width * picture.height > MAX_STILL_PIXELS:
        picture.close()
        raise MediaError(f"“{name}” has more than {MAX_STILL_PIXELS // 10**6} megapixels; scale it down first.")
    return picture


def _deep_tiff(path: Path, name: str) -> Image.Image | None:
    """A TIFF with 16-bit or float colours, which Pillow cannot open: reduced to 8 bits."""
    blob = path.read_bytes()
    if blob[:4] not in (b"II*\0", b"MM\0*"):
        return None
    directory = TiffImagePlugin.ImageFileDirectory_v2(blob[:8])
    stream = io.BytesIO(blob)
    stream.seek(directory.next)
    directory.load(stream)
    if int(directory.get(256, 0)) * int(directory.get(257, 0)) > MAX_STILL_PIXELS:
        raise MediaError(f"“{name}” has more than {MAX_STILL_PIXELS // 10**6} megapixels; scale it down first.")
    pixels = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    return Image.fromarray(to_rgb(pixels[..., 2::-1] if pixels.ndim == 3 else pixels))


def _numbers(picture: Image.Image, name: str) -> np.ndarray:
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
            upright = upright.convert("RGBA" if "transparency" in upright.info or upright.mode == "PA" else "RGB")
        pixels = np.array(upright)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"“{name}” is damaged or cut off and cannot be read; save it again as PNG.") from error
    if pixels.dtype == np.int32:  # Pillow widens 16-bit grey to 32 bits in some formats
        pixels = np.clip(pixels, 0, 65535).astype(np.uint16)
    return pixels


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind == "f":
        return (np.clip(np.nan_to_num(pixels), 0, 1) * 255 + 0.5).astype(np.uint8)
    return ((pixels.astype(np.float32) * (255 / np.iinfo(pixels.dtype).max)) + 0.5).astype(np.uint8)


def _mask_picture(path: str | Path, name: str) -> np.ndarray:
    with _open(path) as picture:
        if picture.mode in ("P", "PA"):
            upright = ImageOps.exif_transpose(picture)
            index = np.array(upright.getchannel(0) if upright.mode == "PA" else upright)
            return np.where(index != 0, 255, 0).astype(np.uint8)
        pixels = _numbers(picture, name)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        colours, alpha = pixels[..., :-1], pixels[..., -1]
        says_nothing = bool((colours == colours[:1, :1]).all())
        pixels = alpha if says_nothing or _varies(alpha) else colours
    return _mask_alpha(pixels, name)


def _varies(alpha: np.ndarray) -> bool:
    return bool(alpha.size) and bool(alpha.min() != alpha.max())


def _mask_array(path: Path, name: str) -> np.ndarray:
    try:
        pixels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"“{name}” is not an array of plain numbers; save the mask with numpy.save.") from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "buif" or pixels.ndim not in (2, 3):
        raise MediaError(f"“{name}” is not an array of plain numbers of one picture; save the mask as (height, width).")
    return _mask_alpha(pixels, name)


def _mask_alpha(pixels: np.ndarray, name: str) -> np.ndarray:
    """(H, W[, C]) numbers → (H, W) uint8. Nothing above 1 means 0–1; else the number type's range, 255 at least."""
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2) if pixels.shape[2] else np.zeros(pixels.shape[:2])
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise MediaError(f"The mask “{name}” has values that are not numbers; save it with 0 outside and 1 inside.")
    if pixels.dtype == bool or not pixels.size:
        return pixels.astype(np.uint8) * 255
    values = pixels.astype(np.float64)
    top = float(values.max())
    scale = 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
    return (np.clip(values / scale, 0, 1) * 255 + 0.5).astype(np.uint8)
