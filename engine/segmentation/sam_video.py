"""Masks carried through a shot by SAM 2.1 or the tracker of SAM 3 (transformers), streamed, both ways.

A subject has its own session; all sessions of a frame share what the model sees of it. Every given mask is first made
a *conditioning frame* of its subject, so the model looks at the nearest ones before and behind wherever it is. Then two
passes: one forward from the first given frame, one backward from the last. Between two given masks both passes have
an answer, and the nearer given frame weighs more. Nothing but the memory that the model can still look at is kept, so
memory does not grow with the shot; a pass's answers wait in a file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from engine.device import chosen_device, torch_device
from engine.models import folder_of
from engine.segmentation.prompts import alpha_of
from engine.segmentation.sam2 import Look, is_third, loaded
from engine.types import FrameIndex, FrameRange

if TYPE_CHECKING:
    import torch

Pictures = Callable[[FrameIndex], np.ndarray]
"""(H, W, 3) uint8 of a frame."""
Given = Mapping[int, Mapping[FrameIndex, np.ndarray]]
"""Subject → frame → (H, W) uint8 alpha that the user gave."""
Step = Callable[[int, int], None]
LIMIT = 20.0  # logits are kept between −20 and 20, as sixteen bits


class Carried(NamedTuple):
    """One frame: alpha (H, W) uint8 by subject, and how sure the model is that the subject is there, 0–1."""

    frame: FrameIndex
    alpha: dict[int, np.ndarray]
    confidence: dict[int, float]


def video_model(name: str) -> SamVideo:
    """The model, loaded once in this process for the device that is chosen. Raises MethodError."""
    return _video_model(name, chosen_device())


@functools.cache
def _video_model(name: str, device: str) -> SamVideo:
    return SamVideo(name)


class SamVideo:
    """One model on one device."""

    def __init__(self, name: str) -> None:
        """`name` in the catalogue: a "sam2.1-…" or "sam3". Raises MethodError where it is not here, or is damaged."""
        import transformers

        folder = folder_of(name)
        third = is_third(folder)
        self._device = torch_device()
        self._model = loaded(transformers.Sam3TrackerVideoModel if third else transformers.Sam2VideoModel, folder, self._device)
        self._session: Any = transformers.Sam3TrackerVideoInferenceSession if third else transformers.Sam2VideoInferenceSession
        self.look = Look.of(folder, int(self._model.image_size))

    def carry(
        self, pictures: Pictures, given: Given, span: FrameRange, *, size: tuple[int, int], scratch: Path, step: Step
    ) -> Iterator[Carried]:
        """Every frame of the span once, in order. A given mask comes out as it was given, to the bit.

        `given` holds at least one mask within the span for each subject; size (H, W); `scratch` an empty folder;
        `step(done, total)` counts two passes and raises Cancelled.
        """
        sides = tuple(self._model.prompt_encoder.mask_input_size)
        subjects = sorted(given)
        store = np.memmap(scratch / "backward.bin", np.int16, "w+", shape=(len(span), len(subjects), *sides))
        scores = np.zeros((len(span), len(subjects)), np.float32)
        total = 2 * len(span)
        for done, (frame, answers) in enumerate(self._pass(pictures, given, span, backward=True), 1):
            for row, subject in enumerate(subjects):
                if subject in answers:
                    logits, scores[frame - span.start, row] = answers[subject]
                    store[frame - span.start, row] = np.rint(logits * (32767 / LIMIT)).astype(np.int16)
            step(done, total)
        for done, (frame, answers) in enumerate(self._pass(pictures, given, span, backward=False), 1):
            alphas, confidence = {}, {}
            for row, subject in enumerate(subjects):
                there = store[frame - span.start, row].astype(np.float32) * (LIMIT / 32767)
                behind = (there, float(scores[frame - span.start, row]))
                alphas[subject], confidence[subject] = self._joined(given[subject], frame, size, (answers.get(subject), behind))
            step(len(span) + done, total)
            yield Carried(frame, alphas, confidence)

    def _joined(self, given: Mapping[FrameIndex, np.ndarray], frame: FrameIndex, size: tuple[int, int], both: Any) -> Any:
        """The alpha and confidence of one subject on one frame from both passes' answers (logits, score)."""
        if frame in given:
            return given[frame], 1.0
        ahead, behind = both
        before = max((key for key in given if key < frame), default=None)
        after = min((key for key in given if key > frame), default=None)
        if before is None or ahead is None:
            logits, score = behind
        elif after is None:
            logits, score = ahead
        else:
            weight = (after - frame) / (after - before)
            logits = weight * ahead[0] + (1 - weight) * behind[0]
            score = weight * ahead[1] + (1 - weight) * behind[1]
        return alpha_of(logits, size), score

    def _pass(
        self, pictures: Pictures, given: Given, span: FrameRange, *, backward: bool
    ) -> Iterator[tuple[FrameIndex, dict[int, tuple[np.ndarray, float]]]]:
        """(frame, subject → (logits (h, w), score)) over the span in one direction; a subject from its first given mask on."""
        sessions = self._sessions(pictures, given)
        order = range(span.stop - 1, span.start - 1, -1) if backward else range(span.start, span.stop)
        for frame in order:
            begun = [one for one in sessions if (frame <= max(given[one]) if backward else frame >= min(given[one]))]
            pixels = self.look.pixels(pictures(frame)) if any(frame not in given[one] for one in begun) else None
            answers = {}
            for subject in begun:
                if frame not in given[subject]:
                    answers[subject] = self._answer(sessions[subject], frame, pixels, backward)
            yield frame, answers

    def _sessions(self, pictures: Pictures, given: Given) -> dict[int, Any]:
        """A session per subject, with its given masks remembered. What the model sees of a frame is shared."""
        import torch

        sessions: dict[int, Any] = {}
        cache = None
        with torch.inference_mode():
            for subject in sorted(given):
                places = {"inference_device": self._device, "inference_state_device": self._device, "video_storage_device": "cpu"}
                session = self._session(**places, dtype=torch.float32)
                cache = session.cache = cache or session.cache
                number = session.obj_id_to_idx(subject)
                for frame in sorted(given[subject]):
                    square = (self.look.side, self.look.side)
                    mask = cv2.resize(given[subject][frame], square, interpolation=cv2.INTER_AREA) >= 128
                    session.add_mask_inputs(number, frame, torch.from_numpy(mask)[None, None].float())
                    session.obj_with_new_inputs = [subject]
                    self._model(inference_session=session, frame=self.look.pixels(pictures(frame)), frame_idx=frame)
                    session.processed_frames.clear()
                cache.clear_all()
                session.obj_with_new_inputs = []
                sessions[subject] = session
        return sessions

    def _answer(self, session: Any, frame: FrameIndex, pixels: torch.Tensor | None, backward: bool) -> tuple[np.ndarray, float]:
        """Logits (h, w) float32 and the score in 0–1 that the subject is there at all."""
        import torch

        with torch.inference_mode():
            out = self._model(inference_session=session, frame=pixels, frame_idx=frame, reverse=backward)
        session.processed_frames.clear()
        self._forget(session, frame, backward)
        logits = out.pred_masks[0, 0].float().clamp(-LIMIT, LIMIT).cpu().numpy()
        return logits, float(torch.sigmoid(out.object_score_logits.float()).reshape(-1)[0].cpu())

    def _forget(self, session: Any, frame: FrameIndex, backward: bool) -> None:
        """Drops answers that the model can no longer look back at."""
        reach = max(self._model.num_maskmem, self._model.config.max_object_pointers_in_encoder) + 1
        old = frame + reach if backward else frame - reach
        for outputs in session.output_dict_per_obj.values():
            for key in [key for key in outputs["non_cond_frame_outputs"] if (key > old if backward else key < old)]:
                del outputs["non_cond_frame_outputs"][key]
        for tracked in session.frames_tracked_per_obj.values():
            tracked.clear()
