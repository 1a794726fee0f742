"""BootsTAPIR (google-deepmind/tapnet; code and weights Apache-2.0).

Its code is on no package index and is not fetched by this program: the user installs it. What is called of it is
`tapnet.torch.tapir_model.TAPIR(pyramid_level=1)` and `model(video (B, T, H, W, 3) in [−1, 1], query_points (B, N, 3)
(t, y, x))` → a dict of `tracks` (B, N, T, 2) (x, y), and logits `occlusion` and `expected_dist` (B, N, T). Its places
are raster ones: a pixel's centre is at a half. A point counts as seen where (1 − σ(occlusion))·(1 − σ(expected_dist)) > ½.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np

from engine.device import torch_device
from engine.models import folder_of, model
from engine.models.weights import fill, load_weights
from engine.tracking.by_models import Followed, missing_package

NAME = "bootstapir"
SOURCE = "https://github.com/google-deepmind/tapnet@730cda1c730877cfedbe01bf87fb1cadb78a565d"


class Tapir:
    """The offline model: it sees all frames of a window at once."""

    size = (256, 256)

    def __init__(self) -> None:
        """Raises MethodError where the weights or the package are not here."""
        path = folder_of(NAME) / model(NAME).downloads[0].name
        if find_spec("tapnet") is None:
            raise missing_package("tapnet", SOURCE, ("--no-deps", "dm-tree", "einshape"))
        self._device = torch_device()
        made = import_module("tapnet.torch.tapir_model").TAPIR(pyramid_level=1)
        fill(made, load_weights(path), path)
        self._model = made.eval().to(self._device)

    def follow(self, video: np.ndarray, queries: np.ndarray) -> Followed:
        """video (T, h, w, 3) uint8, queries (P, 3) float32 (t, x, y) px."""
        import torch

        frames = torch.from_numpy(np.ascontiguousarray(video))[None].float().to(self._device) / 127.5 - 1
        asked = torch.from_numpy(queries[:, [0, 2, 1]] + np.array([0, 0.5, 0.5], np.float32))[None].to(self._device)
        with torch.inference_mode():
            out = self._model(frames, asked)
        there = (1 - torch.sigmoid(out["occlusion"])) * (1 - torch.sigmoid(out["expected_dist"]))
        confidence = there[0].float().T.cpu().numpy()
        return Followed(out["tracks"][0].float().transpose(0, 1).cpu().numpy() - 0.5, confidence > 0.5, confidence)
