"""Subjects found by words (Grounding DINO through transformers): words → boxes, best first; a segmenter makes masks of them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from engine.device import torch_device
from engine.errors import MethodError
from engine.models import folder_of
from engine.segmentation import FINDERS
from engine.segmentation.prompts import normalised
from engine.segmentation.sam2 import IMAGENET, loaded

SHORT, LONG = 800, 1333  # px: the published size of its pictures
LEAST = 0.25  # of a score in 0–1; what is less sure is not offered
SAME = 0.7  # boxes that share more than this part of their area mean the same thing
MOST_WORDS = 200  # characters


class Found(NamedTuple):
    """A box (x0, y0, x1, y1) in source pixels, x1 and y1 exclusive, and how sure the model is, 0–1."""

    box: tuple[float, float, float, float]
    score: float


class Finder:
    """One model on one device."""

    def __init__(self, name: str = FINDERS[-1]) -> None:
        """Raises MethodError where the model is not here, or is damaged."""
        import transformers

        folder = folder_of(name)
        self._device = torch_device()
        self._model = loaded(transformers.GroundingDinoForObjectDetection, folder, self._device)
        try:
            self._words = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise MethodError(f"{name} has no readable tokenizer: fetch the model again.") from error

    def find(self, image: np.ndarray, words: str, least: float = LEAST) -> list[Found]:
        """What the words name in image (H, W, 3) uint8, best first; empty where nothing is sure enough.

        Raises MethodError for words that are none.
        """
        import torch

        given = self._words(prompt_of(words), return_tensors="pt", truncation=True, max_length=256).to(self._device)
        given = {name: value for name, value in given.items() if name in ("input_ids", "attention_mask", "token_type_ids")}
        pixels = torch.from_numpy(_pixels(image))[None].to(self._device)
        with torch.inference_mode():
            out = self._model(pixel_values=pixels, pixel_mask=torch.ones_like(pixels[:, 0], dtype=torch.long), **given)
        scores = out.logits[0].float().sigmoid().amax(dim=-1).cpu().numpy()
        return best_boxes(out.pred_boxes[0].float().cpu().numpy(), scores, image.shape[:2], least)


def prompt_of(words: str) -> str:
    """The words as the model was trained on: small letters, a full stop at the end of each thing."""
    things = [" ".join(part.split()) for part in words.lower().replace(";", ".").replace(",", ".").split(".")]
    things = [thing for thing in things if thing]
    if not things or len(words) > MOST_WORDS:
        raise MethodError(f"Say in a few words what is to be found, such as “the red bag” (at most {MOST_WORDS} characters).")
    return " ".join(f"{thing}." for thing in things)


def best_boxes(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], least: float) -> list[Found]:
    """boxes (Q, 4) centre and size in 0–1, scores (Q,) → the boxes in pixels of (H, W), each thing once."""
    height, width = size
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= least]
    found: list[Found] = []
    for i in order:
        x, y, w, h = boxes[i]
        corners = np.array([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height])
        corners = np.clip(corners, 0, [width, height, width, height])
        if corners[2] - corners[0] >= 1 and corners[3] - corners[1] >= 1:
            box = (float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3]))
            if all(_shared(box, other.box) < SAME for other in found):
                found.append(Found(box, float(scores[i])))
    return found


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, wide) * max(0.0, high)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return both / max(areas - both, 1e-9)


def _pixels(image: np.ndarray) -> np.ndarray:
    """(3, h, w) float32, normalised, the short side 800 px, the long side at most 1333."""
    height, width = image.shape[:2]
    scale = min(SHORT / min(height, width), LONG / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return normalised(small, *IMAGENET)
