"""A picture that shows a project to others: the sheet of its anchors and takes."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.media.images import decode_png
from engine.rendering.material import Material
from engine.types import Anchor

CELL = 240  # px: width of a picture on the sheet
GAP, TITLE, LABEL = 12, 44, 20
MOST_TAKES = 8
INK, PAPER, APPROVED, FAINT = (30, 32, 36), (246, 246, 244), (0, 114, 178), (120, 122, 126)


def sheet_picture(material: Material) -> np.ndarray:
    """(H, W, 3) uint8: a row for each anchor, the source frame first, then its takes; the approved one is framed."""
    edit, (height, width) = material.project.edit, material.project.video.size
    cell = (CELL, max(1, round(CELL * height / width)))
    rows: list[Anchor] = list(edit.anchors)
    columns = 1 + max([1, *(min(len(one.takes), MOST_TAKES) for one in rows)])
    size = (GAP + columns * (CELL + GAP), TITLE + max(1, len(rows)) * (cell[1] + LABEL + 2 * GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), material.project.name[:60], INK, font=ImageFont.load_default(18))
    if not rows:
        draw.text((GAP, TITLE), "No anchors yet.", FAINT, font=ImageFont.load_default(14))
    for row, anchor in enumerate(rows):
        top = TITLE + row * (cell[1] + LABEL + 2 * GAP)
        _cell(draw, sheet, (GAP, top), _small(material.picture(anchor.frame), cell), (f"Frame {anchor.frame}, source", False))
        for column, take in enumerate(anchor.takes[-MOST_TAKES:], 1):
            picture = _small(decode_png(material.objects.get(take.key)), cell)
            chosen = take.key == anchor.chosen
            said = f"{take.label or take.source}{', approved' if chosen else ''}"
            _cell(draw, sheet, (GAP + column * (CELL + GAP), top), picture, (said, chosen))
    return np.array(sheet)


def _small(picture: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _cell(
    draw: ImageDraw.ImageDraw, sheet: Image.Image, place: tuple[int, int], picture: Image.Image, said: tuple[str, bool]
) -> None:
    left, top = place
    sheet.paste(picture, place)
    text, chosen = said
    if chosen:
        draw.rectangle((left - 3, top - 3, left + picture.width + 2, top + picture.height + 2), outline=APPROVED, width=3)
    draw.text((left, top + picture.height + 5), text[:34], APPROVED if chosen else INK, font=ImageFont.load_default(13))
