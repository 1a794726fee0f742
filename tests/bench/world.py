"""What the exact checkers say of the bundled model's shipped weights, on scenes that nobody tuned to."""

from __future__ import annotations

import argparse
import time

from engine.backbones.bundled import read_encoder, read_parts
from engine.device import torch_device
from engine.training.score import Sampling, score
from engine.world.words import KINDS
from tests.bench.harness import Figure, Report, say

FLOORS = {"colour": 85, "material": 85, "background": 90, "removal": 75, "shape": 65, "addition": 55}
FIGURES = (
    *(Figure(f"success_{kind}", f"{kind}: carried out and the rest untouched", "%", FLOORS[kind], "higher") for kind in KINDS),
    Figure("background_psnr", "outside the edit, to the source, before compositing", "dB", 26, "higher"),
    Figure("exact_psnr", "to the exact answer", "dB", better="higher"),
    Figure("temporal_error", "mean difference of changes from frame to frame, to the exact answer's", "of 1"),
    Figure("motion_agreement", "1 = moves as the exact answer, 0 = as a standing picture", "of 1", better="higher"),
    Figure("t2v_colour", "text to video: subjects whose colour is there", "%", better="higher"),
    Figure("t2v_shape", "text to video: subjects whose shape is there", "%", better="higher"),
    Figure("t2v_background", "text to video: the asked background", "%", better="higher"),
    Figure("t2v_attributes", "text to video: all attributes asked for", "%", 90, "higher"),
    Figure("t2v_alignment", "text to video: cosine of pictures and caption by the world's dual encoder", "of 1", better="higher"),
    Figure("edit_seconds", "one edit of 17 frames, sampled and decoded", "s"),
)


def run(report: Report, options: argparse.Namespace) -> None:
    model, autoencoder = read_parts()
    device = torch_device()
    encoder = read_encoder()
    per_kind = max(1, (options.scenes or 180) // len(KINDS))
    say(f"{per_kind} edits of each kind and as many videos, seed {options.seed}")
    begun = time.monotonic()
    scores = score(
        model.to(device).eval(),
        autoencoder.to(device).eval(),
        Sampling(),
        None if encoder is None else encoder.to(device),
        seed=options.seed + 1,
        edits_per_kind=per_kind,
        videos=per_kind,
    )
    for key, value in scores.items():
        share = key.startswith(("success_", "t2v_"))
        report.reach(key, 100 * value if share else value)
    report.reach("edit_seconds", (time.monotonic() - begun) / ((len(KINDS) + 1) * per_kind))
    report.note(f"{Sampling()}; scenes of the test split, 64 × 64 × 17, with looks that training never showed among them.")
