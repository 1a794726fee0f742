"""RAFT's dense optical flow, where torchvision can be loaded: the same call as DIS's (engine/motion/flow.py), sharper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import MethodError

if TYPE_CHECKING:
    import torch

SIZES = ("small", "large")
ITERATIONS = 12
STRIDE = 8  # sides are multiples of this
LEAST = 128  # px: on less its pyramid has no floor


class RaftFlow:
    """One network on one device. Not thread-safe."""

    def __init__(self, size: str = "large") -> None:
        """Raises MethodError where the model is not here or torchvision cannot be loaded."""
        from engine.device import torch_device
        from engine.models import folder_of, model
        from engine.models.weights import fill, load_weights

        name = f"raft-{size}"
        path = folder_of(name) / model(name).downloads[0].name
        try:
            from torchvision.models import optical_flow
        except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: a build for another torch
            raise MethodError(
                "RAFT needs torchvision, which is not installed or does not fit this torch: “python launch.py doctor” says more."
            ) from error
        made = getattr(optical_flow, f"raft_{size}")(weights=None, progress=False)
        fill(made, load_weights(path), path)
        self._device = torch_device()
        self._model = made.eval().to(self._device)

    def flow(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 px: pixel x of a is found at x + flow(x) in b. a, b (h, w) or (h, w, 3) uint8."""
        import torch

        height, width = a.shape[:2]
        with torch.inference_mode():
            found = self._model(self._input(a), self._input(b), num_flow_updates=ITERATIONS)[-1]
        return np.ascontiguousarray(found[0, :, :height, :width].float().permute(1, 2, 0).cpu().numpy())

    def _input(self, picture: np.ndarray) -> torch.Tensor:
        """(1, 3, h', w') in [−1, 1], sides filled up to multiples of 8 with the edge."""
        import torch

        height, width = picture.shape[:2]
        fill = [(0, max(LEAST, -(-side // STRIDE) * STRIDE) - side) for side in (height, width)]
        colour: Any = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
        padded = np.pad(colour, (*fill, (0, 0)), mode="edge")
        return torch.from_numpy(padded).permute(2, 0, 1)[None].float().to(self._device) / 127.5 - 1
