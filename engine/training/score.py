"""What the exact checkers say of a model: answers are sampled, then checked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.backbones.bundled import SHIFT
from engine.backbones.bundled_autoencoder import ClipAutoencoder
from engine.backbones.bundled_encoder import DualEncoder
from engine.backbones.bundled_model import EDIT, SEMANTIC_TOKENS, BundledModel
from engine.diffusion.flow import blend, guided, shifted_levels
from engine.training.trainer import generator
from engine.world.checkers import Verdict, attributes_present, check
from engine.world.draw import draw
from engine.world.edits import Edits, edits
from engine.world.language import captions
from engine.world.scene import sample
from engine.world.words import KINDS

STRIDE = 1 << 20
"""Apart from the numbers of clips: their semantic tokens' noise."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are sampled: steps, guidance on the text, shift of the noise levels."""

    steps: int = 8
    guidance: float = 1.5
    shift: float = SHIFT


@torch.no_grad()
def answer(
    model: BundledModel,
    autoencoder: ClipAutoencoder,
    texts: list[str],
    source: Tensor | tuple[int, ...],
    *,
    how: Sampling,
    seed: int = 0,
    encoder: DualEncoder | None = None,
    anchors: Tensor | None = None,
) -> Tensor:
    """Samples videos (B, T, 3, H, W) in [0, 1] for instructions about source videos of that shape, or for captions of videos
    of the given shape (B, T, 3, H, W). The noise of each is drawn from the seed and its place in the batch.

    With an encoder edits have semantic tokens: denoised along, or, of known first pictures `anchors` (B, 3, H, W) in [0, 1],
    held at what the encoder makes of them."""
    device = next(autoencoder.parameters()).device
    given = autoencoder.encode(2 * source.to(device).transpose(1, 2) - 1) if isinstance(source, Tensor) else None
    batch, frames, _, height, width = source.shape if isinstance(source, Tensor) else source
    shape = (len(autoencoder.mean), (frames + 3) // 4, height // 4, width // 4)
    noise = torch.stack([torch.randn(shape, generator=generator(seed, index)) for index in range(batch)]).to(device)
    prefix = "" if given is None else EDIT
    text = model.encode_text([model.order(prefix, text) for text in texts])
    nothing = model.encode_text([model.order(prefix, "")] * batch)
    tokens = None
    if encoder is not None and given is not None:
        size = (SEMANTIC_TOKENS, encoder.config.features)
        tokens = torch.stack([torch.randn(size, generator=generator(seed, STRIDE + index)) for index in range(batch)]).to(device)
    known = None if anchors is None or encoder is None else encoder.tokens(2 * anchors.to(device) - 1)
    begin, z = tokens, noise
    for t, following in pairwise(shifted_levels(how.steps, how.shift)):
        times = torch.full((batch,), t, device=device)
        if known is not None and begin is not None:
            tokens = blend(known, begin, t)
        sides = [model.answer(z, times, said, given, semantic=tokens) for said in (nothing, text)]
        z = z + (following - t) * (z - guided(sides[0].x0, sides[1].x0, how.guidance)) / t
        if tokens is not None and sides[0].semantic is not None and sides[1].semantic is not None:
            tokens = tokens + (following - t) * (tokens - guided(sides[0].semantic, sides[1].semantic, how.guidance)) / t
    return (autoencoder.decode(z).transpose(1, 2).clamp(-1, 1) + 1) / 2


@torch.no_grad()
def score(
    model: BundledModel,
    autoencoder: ClipAutoencoder,
    how: Sampling,
    encoder: DualEncoder | None = None,
    *,
    anchored: bool = False,
    split: str = "test",
    seed: int = 1,
    edits_per_kind: int = 30,
    videos: int = 60,
    frames: int = 17,
    size: int = 64,
) -> dict[str, float]:
    """What the exact checkers say of the model: `success_KIND`, means over all edits, and `t2v_…` of videos from captions.

    `anchored`: the first frame of the exact answer guides the semantic tokens.

    Scenes are numbered from 0 within the split; raises ValueError as `edits` does.
    """
    device = next(autoencoder.parameters()).device
    verdicts: list[Verdict] = []
    for index, kind in enumerate(KINDS):
        numbers = range(index * edits_per_kind, (index + 1) * edits_per_kind)
        for made in _batches(edits(sample(seed, numbers, split), split, [kind])):
            source = draw(made.source, (size, size), frames).video
            texts = [order.instruction for order in made.orders]
            first = draw(made.target, (size, size), 1).video[:, 0] if anchored else None
            made_of_it = answer(model, autoencoder, texts, source.to(device), how=how, encoder=encoder, anchors=first)
            verdicts += check(made, made_of_it.cpu())
    scenes = sample(seed, range(len(KINDS) * edits_per_kind, len(KINDS) * edits_per_kind + videos), split)
    shown = torch.cat(
        [
            answer(model, autoencoder, captions(part), (len(part), frames, 3, size, size), how=how).cpu()
            for part in (scenes[slice(i, i + 6)] for i in range(0, videos, 6))
        ]
    )
    said = {} if encoder is None else {"t2v_alignment": alignment(encoder, shown, captions(scenes))}
    return {**summary(verdicts), **attributes_present(scenes, shown), **said}


def alignment(encoder: DualEncoder, videos: Tensor, prompts: list[str]) -> float:
    """Mean cosine of videos (B, T, 3, H, W) in [0, 1] to their prompts, by the world's dual encoder."""
    pairs = zip(videos, prompts, strict=True)
    device = encoder.bias.device
    return _mean([encoder.alignment(2 * video.to(device) - 1, prompt) for video, prompt in pairs])


def _batches(made: Edits, size: int = 6) -> list[Edits]:
    starts = range(0, len(made.orders), size)
    return [Edits(made.source[slice(i, i + size)], made.target[slice(i, i + size)], made.orders[i : i + size]) for i in starts]


def summary(verdicts: list[Verdict]) -> dict[str, float]:
    """Success by kind, and means over all verdicts (`background_psnr`: over those whose edit leaves the background)."""
    by_kind = {kind: [verdict for verdict in verdicts if verdict.kind == kind] for kind in KINDS}
    success = {f"success_{kind}": _mean([float(v.success) for v in group]) for kind, group in by_kind.items() if group}
    agreement = [v.motion_agreement for v in verdicts if v.motion_agreement is not None]
    return {
        **success,
        "background_psnr": _mean([v.rest_psnr for v in verdicts if v.kind != "background"]),
        "exact_psnr": _mean([v.exact_psnr for v in verdicts]),
        "temporal_error": _mean([v.temporal_error for v in verdicts]),
        **({"motion_agreement": _mean(agreement)} if agreement else {}),
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
