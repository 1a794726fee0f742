"""SAM 2.1 and the tracker of SAM 3 through transformers: clicks, box or an earlier mask → a mask.

Their own picture processors need torchvision; what they do is done here: resize to a square, normalise, scale the
clicks, and the answer back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.device import torch_device
from engine.errors import MethodError
from engine.models import folder_of
from engine.segmentation.prompts import (
    alpha_of,
    best_of,
    clicks,
    image_digest,
    is_ambiguous,
    mask_prompt,
    normalised,
    obeyed,
    placed,
)
from engine.types import Point

if TYPE_CHECKING:
    import torch

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SCORED = 32768.0  # larger logits say nothing more, and float16 has no larger ones


@dataclass(frozen=True, slots=True)
class Look:
    """How a model wants its pictures: `side` px square, minus `mean`, over `std` (of values in 0–1)."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, folder: Path, side: int) -> Look:
        """From the snapshot's own settings of its processor where it has them."""
        body: dict[str, Any] = {}
        for name in ("preprocessor_config.json", "processor_config.json"):
            path = folder / name
            if path.is_file() and not body:
                body = json.loads(path.read_text(encoding="utf-8"))
                body = body.get("image_processor", body)
        mean, std = HALF if is_third(folder) else IMAGENET
        return cls(side, tuple(body.get("image_mean") or mean), tuple(body.get("image_std") or std))

    def pixels(self, image: np.ndarray) -> torch.Tensor:
        """(3, side, side) float32 of image (H, W, 3) uint8."""
        import torch

        shrinks = self.side < min(image.shape[:2])
        square = cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return torch.from_numpy(normalised(square, self.mean, self.std))

    def scale(self, size: tuple[int, int]) -> tuple[float, float]:
        """(x, y): how much larger the square is than a picture of size (H, W)."""
        return self.side / size[1], self.side / size[0]


def is_third(folder: Path) -> bool:
    """Whether a snapshot is of SAM 3."""
    return str(configuration(folder).get("model_type", "")).startswith("sam3")


def configuration(folder: Path) -> dict[str, Any]:
    """Raises MethodError where the snapshot has none."""
    try:
        body = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MethodError(f"{folder.name} has no readable config.json: fetch the model again.") from error
    return body if isinstance(body, dict) else {}


def loaded(kind: Any, folder: Path, device: torch.device) -> Any:
    """A transformers model from its snapshot: from safetensors, without asking the hub, on the device. Raises MethodError."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        made, about = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise MethodError(
            f"{folder.name} cannot be loaded ({str(error).splitlines()[0][:200]}): fetch the model again."
        ) from error
    missing = [name for name in about.get("missing_keys", ())]
    if len(missing) > 0.01 * len(made.state_dict()):
        raise MethodError(f"{folder.name} is of another model: {len(missing)} tensors are missing, such as {sorted(missing)[0]}.")
    return made.eval().to(device)


class Sam2:
    """One model on one device. Keeps what it saw of the last picture."""

    def __init__(self, name: str) -> None:
        """`name` in the catalogue. Raises MethodError where the model is not here, or is damaged."""
        import transformers

        folder = folder_of(name)
        self._device = torch_device()
        self._model = loaded(transformers.Sam3TrackerModel if is_third(folder) else transformers.Sam2Model, folder, self._device)
        self._look = Look.of(folder, int(self._model.prompt_encoder.input_image_size))
        self._seen: tuple[bytes, list[torch.Tensor]] = (b"", [])

    def segment(
        self,
        image: np.ndarray,
        points: Sequence[Point],
        box: tuple[float, float, float, float] | None = None,
        prior: np.ndarray | None = None,
    ) -> np.ndarray:
        """(H, W) uint8 alpha; image (H, W, 3) uint8, prior (H, W) uint8."""
        import torch

        size = image.shape[:2]
        scale = self._look.scale(size)
        given: dict[str, Any] = {}
        places, labels = clicks(points)
        if len(places):
            given["input_points"] = torch.from_numpy(placed(places, scale))[None, None].to(self._device)
            given["input_labels"] = torch.from_numpy(labels)[None, None].to(self._device)
        if box is not None:
            corners = placed(np.array(box, np.float32).reshape(2, 2) - [[0, 0], [1, 1]], scale).astype(np.float32)
            given["input_boxes"] = torch.from_numpy(corners.reshape(1, 1, 4)).to(self._device)
        if prior is not None:
            prompt = mask_prompt(prior, tuple(self._model.prompt_encoder.mask_input_size))
            given["input_masks"] = torch.from_numpy(prompt)[None, None].to(self._device)
        with torch.inference_mode():
            seen = self._embedded(image)
            out = self._model(image_embeddings=seen, multimask_output=is_ambiguous(points, box, prior), **given)
        logits = out.pred_masks[0, 0].float().clamp(-SCORED, SCORED).cpu().numpy()
        return obeyed(alpha_of(best_of(logits, out.iou_scores[0, 0].float().cpu().numpy()), size), points)

    def _embedded(self, image: np.ndarray) -> list[torch.Tensor]:
        digest = image_digest(image)
        if digest != self._seen[0]:
            self._seen = (b"", [])  # the old one's memory first
            self._seen = (digest, self._model.get_image_embeddings(self._look.pixels(image)[None].to(self._device)))
        return self._seen[1]
