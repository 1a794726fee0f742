"""A model of the hub as it lies on the disk: its parts, loaded by the class that they name, offline and without their code.

A snapshot is a folder with `model_index.json` and a folder for each part (`transformer`, `vae`, `text_encoder`, …), as
diffusers writes and the hub keeps it. Only safetensors are read, and only classes that are listed here are made.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch

from engine.errors import MethodError

LIBRARY = {
    "AutoencoderKL": "diffusers",
    "AutoencoderKLWan": "diffusers",
    "MotionAdapter": "diffusers",
    "UNet2DConditionModel": "diffusers",
    "WanTransformer3DModel": "diffusers",
    "WanVACETransformer3DModel": "diffusers",
    "AutoTokenizer": "transformers",
    "CLIPImageProcessorPil": "transformers",
    "CLIPTextModel": "transformers",
    "CLIPTextModelWithProjection": "transformers",
    "CLIPVisionModel": "transformers",
    "UMT5EncoderModel": "transformers",
}
"""Which library has which class. A part of any other class is refused, so a snapshot cannot choose what is run."""
WITHOUT_WEIGHTS = frozenset(("AutoTokenizer", "CLIPImageProcessorPil"))


class Snapshot:
    """`title` is what sentences call the model. Raises MethodError where the folder is none."""

    def __init__(self, folder: Path | str, title: str) -> None:
        self.folder, self.title = Path(folder), title
        if not self.folder.is_dir():
            raise self.broken("the folder is not there")
        self.index: dict[str, Any] = self._json("model_index.json") if (self.folder / "model_index.json").exists() else {}

    def has(self, part: str) -> bool:
        """Whether the snapshot has that part."""
        named = self.index.get(part)
        return (self.folder / part).is_dir() and (named is None or named[1] is not None)

    def config(self, part: str) -> dict[str, Any]:
        """The part's own settings. Raises MethodError where they are missing or no JSON."""
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        return self._json(f"{part}/{name}" if part else name)

    def load(self, kind: str, part: str, dtype: torch.dtype | None = None) -> Any:
        """The part, of that class, in evaluation mode; "" = the folder itself.

        Raises MethodError where it is missing, damaged, of another class, or lacks weights.
        """
        import diffusers
        import transformers

        transformers.utils.logging.disable_progress_bar()  # jobs show their own progress
        made = getattr({"diffusers": diffusers, "transformers": transformers}[LIBRARY[kind]], kind)
        where, weights = self.folder / part, kind not in WITHOUT_WEIGHTS
        options: dict[str, Any] = {"local_files_only": True}
        if weights:
            self._check_class(kind, part)
            options |= {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
        try:
            loaded = made.from_pretrained(str(where), **options)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
            raise self.broken(f"its {part or 'model'} cannot be loaded: {_first_line(error)}") from error
        if not weights:
            return loaded
        model, found = loaded
        lacking = sorted({*found["missing_keys"], *(str(key) for key in found.get("mismatched_keys", ()))})
        if lacking:
            raise self.broken(f"its {part or 'model'} lacks {len(lacking)} weights, {lacking[0]} among them")
        return model.eval().requires_grad_(False)

    def parameters(self, part: str) -> int:
        """How many numbers the part's weights are, by the headers of its files. Raises MethodError for damaged ones."""
        from safetensors import SafetensorError, safe_open

        files = sorted((self.folder / part).glob("*.safetensors"))
        if not files:
            raise self.broken(f"its {part or 'model'} has no safetensors")
        count = 0
        for path in files:
            try:
                with safe_open(path, "pt") as file:
                    count += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
            except (OSError, SafetensorError) as error:
                raise self.broken(f"{path.name} is damaged or was cut off") from error
        return count

    def broken(self, why: str) -> MethodError:
        """What is wrong with it as one sentence."""
        return MethodError(f"{self.title} in {self.folder} is not whole, {why}; fetch the model again.")

    def _check_class(self, kind: str, part: str) -> None:
        config = self.config(part)
        named = config.get("_class_name") or next(iter(config.get("architectures") or [kind]))
        if named != kind:
            raise self.broken(f"its {part or 'model'} is a {named}, not a {kind}")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise self.broken(f"{name} cannot be read") from error
        if not isinstance(found, dict):
            raise self.broken(f"{name} holds no settings")
        return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
