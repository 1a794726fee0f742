"""CoTracker 3 (facebookresearch/co-tracker, CC-BY-NC-4.0): only where the user has fetched it under that licence.

Its code is on no package index and is not fetched by this program: the user installs it. What is called of it is
`CoTrackerPredictor(checkpoint=None, window_len=60, v2=False)`, its `model` for the weights, and
`predictor(video (B, T, 3, H, W) 0–255, queries=(B, N, 3) (t, x, y), backward_tracking=…)` → tracks (B, T, N, 2) px and
visibility (B, T, N) bool.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np

from engine.device import torch_device
from engine.models import folder_of
from engine.models.weights import fill, load_weights
from engine.tracking.by_models import Followed, missing_package

NAME = "cotracker3"
SOURCE = "https://github.com/facebookresearch/co-tracker@82e02e8029753ad4ef13cf06be7f4fc5facdda4d"


class CoTracker:
    """The offline model: it sees all frames of a window at once."""

    size = (384, 512)  # what the model resizes to

    def __init__(self) -> None:
        """Raises MethodError where the weights or the package are not here."""
        path = folder_of(NAME) / "scaled_offline.pth"
        if find_spec("cotracker") is None:
            raise missing_package("cotracker", SOURCE)
        self._device = torch_device()
        predictor = import_module("cotracker.predictor").CoTrackerPredictor(checkpoint=None, window_len=60, v2=False)
        fill(predictor.model, load_weights(path), path)
        self._predictor = predictor.eval().to(self._device)

    def follow(self, video: np.ndarray, queries: np.ndarray) -> Followed:
        """video (T, h, w, 3) uint8, queries (P, 3) float32 (t, x, y) px."""
        import torch

        frames = torch.from_numpy(np.ascontiguousarray(video)).permute(0, 3, 1, 2)[None].float().to(self._device)
        asked = torch.from_numpy(queries)[None].to(self._device)
        with torch.inference_mode():
            tracks, seen = self._predictor(frames, queries=asked)
        visible = seen[0].cpu().numpy().astype(bool)
        return Followed(tracks[0].float().cpu().numpy(), visible, visible.astype(np.float32))
