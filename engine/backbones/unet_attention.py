"""What ties the hooks to Stable Diffusion's UNets, with or without AnimateDiff's motion modules.

A UNet works on frames: B · F of them stand in the batch, in that order, and each attention call has the size of its level.
Sites are the modules as a pass meets them, by their own names: "down_blocks.0.resnets.0", "…attentions.0" and
"…motion_modules.0", the same in "mid_block" and "up_blocks". Motion modules attend along the frames at each place, twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from engine.backbones.caches import refuse_caches
from engine.backbones.hooks import Hooks
from engine.diffusion.attention import AttentionSite, Kind, attend
from engine.errors import MethodError

KINDS = ("resnets", "attentions", "motion_modules")


def modules_in_order(unet: Any) -> list[tuple[str, Any]]:
    """(name, module) of all resnets, attentions and motion modules, as a pass meets them."""
    blocks = [
        *((f"down_blocks.{index}", block) for index, block in enumerate(unet.down_blocks)),
        ("mid_block", unet.mid_block),
        *((f"up_blocks.{index}", block) for index, block in enumerate(unet.up_blocks)),
    ]
    found: list[tuple[str, Any]] = []
    for name, block in blocks:
        members = [(kind, at, one) for kind in KINDS for at, one in enumerate(getattr(block, kind, None) or ())]
        members.sort(key=lambda member: _turn(member[0], member[1], name == "mid_block"))
        found += [(f"{name}.{kind}.{at}", module) for kind, at, module in members]
    return found


def _turn(kind: str, at: int, middle: bool) -> tuple[int, int]:
    """When a module's turn is: rounds of a resnet and what follows it; the middle block has one more resnet, at its start."""
    return (at - 1, len(KINDS)) if middle and kind == "resnets" else (at, KINDS.index(kind))


class UnetHooks:
    """Routes a UNet's attention and the states after its modules through `hooks`; idle, the stock computation runs, bit by bit.

    Raises MethodError for a UNet whose attention is not the stock one.
    """

    def __init__(self, unet: Any, hooks: Hooks) -> None:
        self.unet, self.hooks = unet, hooks
        self.frames, self.size = 1, (0, 0)
        layers: dict[Kind, int] = {"self": 0, "cross": 0, "temporal": 0}
        for name, module in modules_in_order(unet):
            module.register_forward_hook(lambda module, inputs, output, site=name: self._after(site, output))
            if ".resnets." in name:
                continue
            module.register_forward_pre_hook(self._before, with_kwargs=True)
            for index, block in enumerate(module.transformer_blocks):
                for part, attention in (("attn1", block.attn1), ("attn2", block.attn2)):
                    if attention is None:
                        continue
                    if type(attention.processor) is not AttnProcessor2_0:
                        raise MethodError(f"This model attends by {type(attention.processor).__name__}, which cannot be hooked.")
                    kind: Kind = "temporal" if ".motion_modules." in name else "self" if part == "attn1" else "cross"
                    full = f"{name}.transformer_blocks.{index}.{part}"
                    attention.set_processor(HookedAttnProcessor(self, layers[kind], kind, full))
                    layers[kind] += 1

    @contextmanager
    def on(self, frames: int) -> Iterator[None]:
        """Says how many frames each clip of the pass within the block has.

        Raises MethodError where hooks are in use and a cache would leave out parts of the pass.
        """
        if self.hooks.busy:
            refuse_caches(self.unet)
        before, self.frames = self.frames, frames
        try:
            yield
        finally:
            self.frames = before

    def site(self, layer: int, kind: Kind, name: str) -> AttentionSite:
        if kind == "temporal":
            return AttentionSite(layer, kind, (self.frames, 1, 1), 0, (1, *self.size), name)
        return AttentionSite(layer, kind, (1, *self.size), 0, (self.frames, 1, 1), name)

    def _before(self, module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        states = inputs[0] if inputs else named["hidden_states"]
        self.size = states.shape[-2], states.shape[-1]

    def _after(self, site: str, output: Any) -> Any:
        """The state (B, C, F, h, w) passes its site; None leaves the output as it is."""
        if not self.hooks.watched(site):
            return None
        state = output[0] if isinstance(output, tuple) else output
        clips = state.unflatten(0, (-1, self.frames)).transpose(1, 2)
        changed = self.hooks.passing(site, clips).transpose(1, 2).flatten(0, 1).type_as(state)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed


class HookedAttnProcessor(AttnProcessor2_0):
    """Stock attention until a control is installed; then the same computation through `attend`.

    In a UNet's transformer blocks attention has no norms of its own, no mask and no residual, so there is nothing else to do.
    """

    def __init__(self, unet: UnetHooks, layer: int, kind: Kind, name: str) -> None:
        super().__init__()
        self._unet, self._layer, self._kind, self._name = unet, layer, kind, name

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **named):  # type: ignore[no-untyped-def]
        control = self._unet.hooks.installed
        if control is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, *args, **named)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        q, k, v = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (q, k, v))
        out = attend(q, k, v, self._unet.site(self._layer, self._kind, self._name), control)
        out = out.transpose(1, 2).flatten(2, 3).to(q.dtype)
        return attn.to_out[1](attn.to_out[0](out)) / attn.rescale_output_factor


def as_pictures(clips: Tensor) -> Tensor:
    """(B, C, F, h, w) -> (B · F, C, h, w)."""
    return clips.transpose(1, 2).flatten(0, 1)


def as_clips(pictures: Tensor, frames: int) -> Tensor:
    """(B · F, C, h, w) -> (B, C, F, h, w)."""
    return pictures.unflatten(0, (-1, frames)).transpose(1, 2)


def for_each_frame(rows: Tensor, clips: int, frames: int) -> Tensor:
    """(1 or B, ...) of a prompt -> (B · F, ...)."""
    return rows.expand(clips, *rows.shape[1:]).repeat_interleave(frames, 0)
