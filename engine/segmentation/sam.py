"""Segment Anything (ViT-B, -L, -H) through the segment-anything package: clicks, box or an earlier mask → a mask.

The package imports torchvision for two functions that resize a picture. Where torchvision is not installed, or cannot
be loaded, a stand-in with those two lies in its place while the package is imported, and is gone afterwards: other
libraries look for torchvision too and must not find it.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from engine.device import torch_device
from engine.models import folder_of, model
from engine.models.weights import fill, load_weights
from engine.segmentation.prompts import alpha_of, best_of, clicks, image_digest, is_ambiguous, mask_prompt, obeyed, placed
from engine.types import Point

if TYPE_CHECKING:
    import torch

PARTS = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.ops",
    "torchvision.ops.boxes",
)


class Sam:
    """One model on one device. Keeps what it saw of the last picture, so that a second click on it is quick."""

    def __init__(self, name: str) -> None:
        """`name` in the catalogue: "sam-b", "sam-l" or "sam-h". Raises MethodError where it is not here, or is damaged."""
        path = folder_of(name) / model(name).downloads[0].name
        weights = load_weights(path)
        module = built(weights)
        fill(module, weights, path)
        self._predictor = package().SamPredictor(module.eval().to(torch_device()))
        self._seen = b""

    def segment(
        self,
        image: np.ndarray,
        points: Sequence[Point],
        box: tuple[float, float, float, float] | None = None,
        prior: np.ndarray | None = None,
    ) -> np.ndarray:
        """(H, W) uint8 alpha; image (H, W, 3) uint8, prior (H, W) uint8."""
        self._look(image)
        predictor = self._predictor
        inner = predictor.input_size  # (h, w) of the picture inside the model's square
        scale = np.array([inner[1] / image.shape[1], inner[0] / image.shape[0]], np.float32)
        places, labels = clicks(points)
        given: dict[str, Any] = {"multimask_output": is_ambiguous(points, box, prior), "return_logits": True}
        if len(places):
            # The predictor scales corners; ours are centres, and come out where they belong with this.
            given |= {"point_coords": placed(places, tuple(scale)) / scale, "point_labels": labels}
        if box is not None:
            given["box"] = (placed(np.array(box, np.float32).reshape(2, 2) - [[0, 0], [1, 1]], tuple(scale)) / scale).ravel()
        if prior is not None:
            given["mask_input"] = self._prompt(prior, inner)
        masks, scores, _ = predictor.predict(**given)
        return obeyed(alpha_of(best_of(masks, scores), image.shape[:2]), points)

    def _prompt(self, prior: np.ndarray, inner: tuple[int, int]) -> np.ndarray:
        """(1, s, s): an earlier mask where the picture lies in the model's square."""
        side = self._predictor.model.prompt_encoder.mask_input_size[0]
        whole = self._predictor.model.image_encoder.img_size
        small = tuple(max(1, round(length * side / whole)) for length in inner)
        square = np.full((1, side, side), -8.0, np.float32)
        square[0, : small[0], : small[1]] = mask_prompt(prior, (small[0], small[1]))
        return square

    def _look(self, image: np.ndarray) -> None:
        digest = image_digest(image)
        if digest != self._seen:
            self._predictor.set_image(np.ascontiguousarray(image))
            self._seen = digest


# --- the package ------------------------------------------------------------------------------------------

_IMPORTING = threading.Lock()


@functools.cache
def package() -> ModuleType:
    """segment_anything, imported with the stand-in where it has to be. Raises MethodError where it is not installed."""
    from importlib import import_module
    from importlib.util import find_spec

    from engine.errors import MethodError

    if find_spec("segment_anything") is None:
        raise MethodError("The package segment-anything is not installed yet: start “python launch.py”, which installs it.")
    with _IMPORTING:
        if _torchvision_works():
            return import_module("segment_anything")
        with _stand_in():
            return import_module("segment_anything")


def _torchvision_works() -> bool:
    try:
        import torchvision.transforms.functional  # noqa: F401
    except (ImportError, RuntimeError, OSError):  # RuntimeError: a build for another torch
        return False
    return True


@contextmanager
def _stand_in() -> Iterator[None]:
    """Modules of torchvision's names with what segment-anything takes from them, for as long as it is imported."""
    before = {name: part for name, part in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    made = {name: ModuleType(name) for name in PARTS}
    functional: Any = made["torchvision.transforms.functional"]
    functional.to_pil_image = Image.fromarray
    functional.resize = lambda picture, size: picture.resize(size[::-1], Image.Resampling.BILINEAR)
    boxes: Any = made["torchvision.ops.boxes"]
    boxes.batched_nms = boxes.box_area = None  # of the automatic mask generator, which is not used here
    for name in before:
        del sys.modules[name]
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
        sys.modules.update(before)


# --- the model --------------------------------------------------------------------------------------------


def built(weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """The model that fits a checkpoint's tensors: all sizes follow from their shapes, but for the number of heads in the
    mask decoder, which is 8 in every published one. Raises MethodError for a checkpoint of something else."""
    from engine.errors import MethodError

    try:
        return _built(weights)
    except (KeyError, IndexError, ValueError) as error:
        raise MethodError(
            f"This is no checkpoint of Segment Anything: it has no tensor {error}; fetch the model again."
        ) from error


def _built(weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    import torch

    parts = package().modeling
    patches, position = weights["image_encoder.patch_embed.proj.weight"], weights["image_encoder.pos_embed"]
    side, patch, width = position.shape[1], patches.shape[-1], patches.shape[0]
    depth = _count(weights, "image_encoder.blocks.")
    reaches = [weights[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    whole = [i for i, reach in enumerate(reaches) if reach[0] == 2 * side - 1]
    windows = [reach[0] for i, reach in enumerate(reaches) if i not in whole]
    embedding = weights["image_encoder.neck.0.weight"].shape[0]
    encoder = parts.ImageEncoderViT(
        depth=depth,
        embed_dim=width,
        img_size=side * patch,
        mlp_ratio=weights["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / width,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=width // reaches[0][1],
        patch_size=patch,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=whole,
        window_size=(windows[0] + 1) // 2 if windows else 0,
        out_chans=embedding,
    )
    prompts = parts.PromptEncoder(
        embed_dim=embedding,
        image_embedding_size=(side, side),
        input_image_size=(side * patch, side * patch),
        mask_in_chans=weights["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    )
    mlp = weights["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0]
    layers = _count(weights, "mask_decoder.transformer.layers.")
    decoder = parts.MaskDecoder(
        num_multimask_outputs=weights["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        transformer=parts.TwoWayTransformer(depth=layers, embedding_dim=embedding, mlp_dim=mlp, num_heads=8),
        transformer_dim=embedding,
        iou_head_depth=_count(weights, "mask_decoder.iou_prediction_head.layers."),
        iou_head_hidden_dim=weights["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    )
    made: torch.nn.Module = parts.Sam(encoder, prompts, decoder, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    return made


def _count(weights: Mapping[str, object], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in weights if name.startswith(prefix))
