"""What a frame costs by each method: measured in CPU seconds of one core, or, for models of the hub, computed from their size.

CPU seconds, not those of the clock: the machine may be busy with other things meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.document import acts
from engine.editor import Editor
from engine.media.writer import settings_for
from engine.methods import METHODS, card
from engine.progress import Progress, Step
from engine.rendering.render import carry, export, prepare_clip, propagate, spans_to_carry
from engine.types import FrameRange
from tests.media_fixtures import Clip, write_drawn_clip
from tests.recipes import box_in

SIZE = (1080, 1920)
TINY = (96, 160)
"""Of the clip that is edited first, so that loading libraries and models is not counted: a process does that once."""
PREPARING, MASKS, MOTION = "Preparing the clip", "Carrying masks", "Reading the motion"
SHARING, PROPAGATING, WRITING = "Preparing the edit", "Propagating", "Writing the clip"
TEXTS = {
    "source_prompt": "a red ball",
    "target_prompt": "a blue ball",
    "target_words": ("blue",),
    "instruction": "make the ball blue",
}


class CpuProgress(Progress):
    """Adds up CPU seconds of this process by phase."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: dict[str, float] = {}
        self._phase, self._since = "", time.process_time()

    def part(self, phase: str, units: int) -> Step:
        self.close()
        self._phase = phase
        return super().part(phase, units)

    def elsewhere(self) -> None:
        """What follows belongs to no phase, until the next one begins."""
        self.close()
        self._phase = ""

    def close(self) -> None:
        now = time.process_time()
        self.cpu[self._phase] = self.cpu.get(self._phase, 0.0) + now - self._since
        self._since = now


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds: `clip` a frame, what one machine does before; `shared` a shot, and `growing` more for each of its frames; `frame`
    a frame of a segment; `out` a frame of the finished clip. `sent`: bytes a frame that a node needs of the clip."""

    clip: float
    shared: float
    frame: float
    out: float
    sent: float = 0.0
    growing: float = 0.0

    def on(self, base: Costs) -> Costs:
        """With what the clip itself costs as it was measured over more frames: its first frames cost more than the others."""
        return replace(self, clip=base.clip, out=base.out)


@dataclass(eq=False)
class Measured:
    frames: int
    cpu: dict[str, float] = field(default_factory=dict)
    bytes: int = 0

    def costs(self) -> Costs:
        each = {phase: seconds / self.frames for phase, seconds in self.cpu.items()}
        clip = sum(each.get(phase, 0.0) for phase in (PREPARING, MASKS, MOTION))
        shared = self.cpu.get(SHARING, 0.0)
        return Costs(clip, shared, each.get(PROPAGATING, 0.0), each.get(WRITING, 0.0), self.bytes / self.frames)


def measure(folder: Path, name: str, frames: int, size: tuple[int, int] = SIZE) -> Measured:
    """One clip of `frames` by one method: a marked disc, a take at each end where the method wants anchors."""
    folder.mkdir(exist_ok=True)
    clip = write_drawn_clip(folder / "in.mp4", Clip(frames=frames, size=size))
    editor = Editor.create(folder / name, clip)
    progress = CpuProgress()
    try:
        editor.act(acts.set_box, "Box", frame=0, subject=1, box=box_in(size))
        chosen = card(name)
        said: dict[str, Any] = {text: TEXTS[text] for text in chosen.texts}
        editor.act(acts.set_edit, "Method", method=name, **said)
        prepare_clip(editor.material, progress)
        carry(editor.material, spans_to_carry(editor.material), progress)
        progress.elsewhere()  # takes are what a user makes, not what a run costs
        for frame in (0, frames - 1) if chosen.anchors else ():
            editor.approve(frame, editor.effect_take(frame, "recolour", {"colour": "#2050ff"}).key)
        material = editor.material
        propagate(material, progress)
        out = folder / f"{name}.mp4"
        export(material.again(), out, settings_for(out), progress, span=FrameRange(0, frames))
        progress.close()
        needed = [
            material.workspace.pack(material.project.video.digest),
            material.workspace.motion(material.project.video.digest),
        ]
        sent = clip.stat().st_size + sum(path.stat().st_size for place in needed for path in place.iterdir())
        return Measured(frames, progress.cpu, sent)
    finally:
        editor.close()


def growing(short: Measured, long: Measured) -> Costs:
    """The costs over the longer clip, with what is shared over a shot as a line through both."""
    costs, (few, many) = long.costs(), (short.cpu.get(SHARING, 0.0), long.cpu.get(SHARING, 0.0))
    each = max(0.0, (many - few) / (long.frames - short.frames))
    return replace(costs, shared=max(0.0, many - each * long.frames), growing=each)


def measured_methods() -> list[str]:
    return list(METHODS)


# --- models of the hub, computed --------------------------------------------------------------------------

GPU = 150e12
"""Operations a second that a large GPU of today keeps up in bfloat16: an assumption, a third to a half of its data sheet."""
SD15 = 0.8e12
"""Operations of one pass of Stable Diffusion 1.5's denoiser over a picture of 512²."""


def dit(tokens: int, *, parameters: float, layers: int, width: int) -> float:
    """Operations of one pass of a diffusion transformer: its weights once a token, and attention of all with all."""
    return 2 * parameters * tokens + 4 * layers * width * tokens**2


def wan_tokens(frames: int, size: tuple[int, int] = (480, 832)) -> int:
    """Tokens of a clip in Wan 2.1: one for four frames and 16² pixels."""
    return (1 + (frames - 1) // 4) * (size[0] // 16) * (size[1] // 16)


def computed() -> dict[str, tuple[str, float, float]]:
    """Per method: what was assumed, seconds a frame, seconds a shot shared; without the decoding of latents."""
    wan = dit(wan_tokens(81), parameters=1.3e9, layers=30, width=1536)
    vace = dit(wan_tokens(25), parameters=1.95e9, layers=45, width=1536)
    return {
        "flowanchor": ("Wan 2.1 1.3B, 23 steps of 4 passes, windows of 81 frames", 23 * 4 * wan / 81 / GPU, 0.0),
        "via": ("InstructPix2Pix 1.5, 10 steps of 3 passes, a group of 4 for 48 frames; 60 steps of adapting, batch 4",
                10 * 3 * SD15 * (1 + 4 / 48) / GPU, (60 * 4 * 3 + 10 * 3 * 8) * SD15 / GPU),
        "anchorsync": ("Wan VACE 1.3B, 25 steps of 2 passes for 25 frames; anchors by InstructPix2Pix, 16 steps of 6 passes",
                       25 * 2 * vace / 24 / GPU, 11 * 16 * 6 * SD15 / GPU),
        "point_to_point": ("AnimateDiff 1.5, 16 frames together, 25 steps of 2 passes; 120 steps of learning",
                           25 * 2 * SD15 * 1.1 / GPU, 120 * 3 * 16 * SD15 * 1.1 / GPU),
    }  # fmt: skip
