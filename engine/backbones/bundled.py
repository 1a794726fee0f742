"""The bundled model as a backbone: what `assets/bundled` holds, loaded and wrapped in the protocol."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.backbones.bundled_autoencoder import STRIDE, AutoencoderConfig, ClipAutoencoder
from engine.backbones.bundled_beside import beside, known_video
from engine.backbones.bundled_encoder import DualEncoder, EncoderConfig
from engine.backbones.bundled_model import EDIT, PATCH, SEMANTIC_TOKENS, BundledConfig, BundledModel
from engine.backbones.hooks import Hooks
from engine.backbones.wan_attention import WanHooks
from engine.diffusion.backbone import Condition, Prediction, Text
from engine.diffusion.flow import from_clean, shifted_levels
from engine.diffusion.judging import directional
from engine.diffusion.pictures import working_size
from engine.errors import MethodError
from engine.world.asking import asked, coloured
from engine.world.words import BACKGROUND_RGB, BACKGROUNDS

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets" / "bundled"
SHIFT = 5.0
"""Of the noise levels, Wan's own: what a clip shows is decided where there is much noise."""

VERBS = frozenset(("make", "paint", "turn", "replace", "change", "put", "remove", "delete", "add"))
"""Instructions of the drawn world begin with one of these, captions never."""
HOME = 0.4
"""Least share of a clip of the drawn world that one ground's colours fill: its own clips have 0.7 or more, ten clips of the real
world 0.2 at most (our choice)."""


def ground_share(frames: Tensor) -> float:
    """Of the pixels of frames (T, 3, H, W) in [−1, 1], the largest share near the colours of one ground, in some light."""
    pictures, shares = (frames.float() + 1) / 2, []
    for low, high in BACKGROUND_RGB.to(pictures.device):
        way = (high - low)[:, None, None]
        for light in LIGHTS:
            away = pictures / light - low[:, None, None]
            along = ((away * way).sum(1, keepdim=True) / way.square().sum()).clamp(-0.3, 1.6)
            shares.append(float(((away - along * way).square().sum(1) < NEAR).float().mean()))
    return max(shares)


LIGHTS = (0.84, 0.92, 1.0, 1.08)
NEAR = 0.003
"""Squared distance of RGB in [0, 1]."""


class Bundled(Hooks):
    """The drawn world's model. Clips have 4k + 1 frames of H × W, multiples of 8; shorter ones are filled up with their last."""

    name: ClassVar[str] = "bundled"
    max_frames = 17
    stride = (STRIDE, STRIDE * PATCH[1], STRIDE * PATCH[2])

    guidance, area = 1.5, 64 * 64

    def __init__(self, model: BundledModel, autoencoder: ClipAutoencoder, encoder: DualEncoder | None = None) -> None:
        super().__init__(tuple(f"block.{index}" for index in range(model.config.layers)))
        self.model, self.autoencoder, self.encoder = model.eval(), autoencoder.eval(), encoder
        self.semantic_shape = None if encoder is None else (SEMANTIC_TOKENS, encoder.config.features)
        if model.config.beside:
            self.takes = ("source", "first", "last", "edges", "flow")
        self._told: WeakKeyDictionary[Condition, Tensor] = WeakKeyDictionary()
        self._wan = WanHooks(model.transformer, self)

    @property
    def device(self) -> torch.device:
        return self.model.kinds.weight.device

    @property
    def denoiser(self) -> torch.nn.Module:
        """What an adapter is put on."""
        return self.model.transformer

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """frames (T, 3, H, W) in [−1, 1] -> latents (1, C, F, H/4, W/4).

        Raises MethodError for sides that are no multiples of 8.
        """
        count, _, height, width = frames.shape
        if height % self.stride[1] or width % self.stride[2]:
            raise MethodError(f"The bundled model takes sides that are multiples of 8; got {width} × {height}: resize the clip.")
        filled = torch.cat([frames, frames[-1:].expand((1 - count) % STRIDE, -1, -1, -1)])
        return self.autoencoder.encode(filled.transpose(0, 1)[None].to(self.device))

    @torch.no_grad()
    def decode(self, latents: Tensor, frames: int) -> Tensor:
        return self.autoencoder.decode(latents)[0].transpose(0, 1)[:frames].clamp(-1, 1)

    @torch.no_grad()
    def encode_text(self, prompt: str) -> Text:
        """An instruction ("make …", "remove …") is told to the model as one. Raises UnknownWord for a word outside the world's
        vocabulary."""
        words = tuple(prompt.lower().replace(",", " ").replace(".", " ").split())
        said = self.model.order(EDIT, prompt) if words and words[0] in VERBS else prompt
        first = len(said.split()) - len(prompt.split())
        return Text(prompt, words, tuple((first + i,) for i in range(len(words))), self.model.encode_text([said]))

    def instructed(self, instruction: str) -> str:
        """With the prefix of edits, which alone is the branch that guidance leads away from."""
        return instruction if instruction else self.model.order(EDIT, "")

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return working_size(size, self.area, self.stride[1:])

    @torch.no_grad()
    def semantic_tokens(self, picture: Tensor) -> Tensor:
        """(1, S, features) of an anchor (3, H, W) in [−1, 1]. Raises MethodError where no encoder was shipped."""
        if self.encoder is None:
            raise MethodError("The bundled model came without its image encoder; fetch the project again.")
        return self.encoder.tokens(picture[None].to(self.device))

    @torch.no_grad()
    def fit(self, before: Tensor, after: Tensor, instruction: str, prompts: tuple[str, str]) -> float | None:
        """See `engine/diffusion/judging.py`; None also where no encoder was shipped."""
        pair = prompts if all(prompts) else asked(instruction)
        if self.encoder is None or pair is None:
            return None
        pictures = self.encoder.pictures(torch.stack([before, after]).to(self.device))
        captions = self.encoder.captions(list(pair if all(prompts) else self._completed(pictures[0], *pair)))
        return directional(pictures[0], pictures[1], captions[0], captions[1])

    def _completed(self, picture: Tensor, was: str, shall: str) -> tuple[str, str]:
        """Both as whole captions: with the colour that the subject has, where it was not named by it, and on the ground that the
        picture shows."""
        assert self.encoder is not None
        pairs = [(f"{a} on {g}".strip(), f"{b} on {g}".strip()) for a, b in coloured(was, shall) for g in BACKGROUNDS]
        if shall.startswith("on "):
            pairs = [(f"on {ground}", shall) for ground in BACKGROUNDS]
        shown = [before if was or shall.startswith("on ") else after for before, after in pairs]
        return pairs[int((self.encoder.captions(shown) @ picture).argmax())]

    @torch.no_grad()
    def purpose(self, frames: Tensor) -> str:
        """Tells the drawn world by its grounds: one of them fills at least HOME of the picture."""
        if ground_share(frames) >= HOME:
            return ""
        return (
            "The bundled model is made for a drawn world of its own (balls, boxes … on grass, sand …) and knows "
            "nothing else; for this clip take a model from the hub, or motion propagation."
        )

    def levels(self, steps: int) -> list[float]:
        return shifted_levels(steps, SHIFT)

    def scales(self, level: float) -> tuple[float, float]:
        return 1 - level, level

    def predict(self, z: Tensor, level: float, text: Text, condition: Condition | None = None) -> Prediction:
        """With a source the clip is edited as the text says; without one the text is a caption. Of first and last picture the
        clip between is made (prompt: "[between]" and a caption). Gradients pass."""
        self.accept(condition)
        source = condition.source if condition is not None else None
        return self._answer(z, level, text, source, tokens=None, known=self._pictures(z, condition))[0]

    def predict_semantic(
        self, z: Tensor, tokens: Tensor | None, level: float, text: Text, source: Tensor
    ) -> tuple[Prediction, Tensor | None]:
        """See `engine/diffusion/semantic.py`."""
        return self._answer(z, level, text, source, tokens=tokens, known=None)

    def _answer(
        self, z: Tensor, level: float, text: Text, source: Tensor | None, *, tokens: Tensor | None, known: Tensor | None
    ) -> tuple[Prediction, Tensor | None]:
        grid = (z.shape[2], z.shape[3] // PATCH[1], z.shape[4] // PATCH[2])
        lead = 0 if source is None else grid[0] * grid[1] * grid[2]
        lead += 0 if tokens is None else tokens.shape[1]
        times = torch.full((len(z),), level, device=z.device)
        given = None if source is None else source.expand_as(z)
        known = None if known is None else known.expand(len(z), -1, -1, -1, -1)
        with self._wan.on(grid, lead):
            said = text.embeddings.expand(len(z), -1, -1)
            made = self.model.answer(z, times, said, given, semantic=tokens, beside=known)
        return from_clean(z, made.x0, level), made.semantic

    def _pictures(self, z: Tensor, condition: Condition | None) -> Tensor | None:
        """What the model is told of the first and the last picture, encoded once for each condition."""
        if condition is None or not condition.given() - {"source"}:
            return None
        if condition.first is None and condition.last is None:
            raise MethodError("Edges and flow say how the clip goes on from a picture: give the first or the last one too.")
        if condition not in self._told:
            ends = [None if end is None else end[None].to(self.device) for end in (condition.first, condition.last)]
            clip, mask = known_video(ends[0], ends[1], 1 + STRIDE * (z.shape[2] - 1))
            with torch.no_grad():
                guides = (None if one is None else one[None].to(clip) for one in (condition.edges, condition.flow))
                self._told[condition] = beside(self.autoencoder.encode(clip), mask, *guides)
        return self._told[condition]


def write_bundled(folder: Path, model: BundledModel, autoencoder: ClipAutoencoder, encoder: DualEncoder | None = None) -> None:
    """Writes weights as float16 and their configuration; what is in the folder is replaced."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    parts: list[tuple[str, torch.nn.Module | None]] = [("model", model), ("autoencoder", autoencoder), ("encoder", encoder)]
    for name, module in parts:
        if module is None:
            (folder / f"{name}.safetensors").unlink(missing_ok=True)
            continue
        half = {key: value.detach().half().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(half, folder / f"{name}.safetensors")
    config = {"model": asdict(model.config), "autoencoder": asdict(autoencoder.config), "vocabulary": list(model.vocabulary)}
    if encoder is not None:
        config |= {"encoder": asdict(encoder.config), "encoder_vocabulary": list(encoder.vocabulary)}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


def read_parts(folder: Path = ASSETS) -> tuple[BundledModel, ClipAutoencoder]:
    """The modules that `write_bundled` wrote, as float32. Raises MethodError where something is missing or does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        model = BundledModel(BundledConfig(**config["model"]), tuple(config["vocabulary"]))
        autoencoder = ClipAutoencoder(AutoencoderConfig(**config["autoencoder"]))
        for name, module in (("model", model), ("autoencoder", autoencoder)):
            module.load_state_dict({key: value.float() for key, value in load_file(folder / f"{name}.safetensors").items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise MethodError(f"The bundled model in {folder} cannot be loaded: {error}. Fetch the project again.") from error
    return model, autoencoder


def read_encoder(folder: Path = ASSETS) -> DualEncoder | None:
    """The dual encoder that was shipped with the model, as float32, or None. Raises MethodError for one that does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "encoder.safetensors"
    if not path.exists():
        return None
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        encoder = DualEncoder(EncoderConfig(**config["encoder"]), tuple(config["encoder_vocabulary"]))
        encoder.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise MethodError(f"The bundled encoder in {folder} cannot be loaded: {error}. Fetch the project again.") from error
    return encoder.eval()


def load(device: torch.device | str = "cpu", folder: Path = ASSETS) -> Bundled:
    """The bundled model on a device. Raises MethodError."""
    model, autoencoder = read_parts(folder)
    encoder = read_encoder(folder)
    return Bundled(model.to(device), autoencoder.to(device), None if encoder is None else encoder.to(device))
