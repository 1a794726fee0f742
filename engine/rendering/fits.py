"""How well takes carry out what was asked, and which of several is shown first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.methods import Card
from engine.methods.base import Context
from engine.types import Anchor, Edit, Take


def fit_of(card: Card, edit: Edit, context: Context, pictures: tuple[np.ndarray, np.ndarray]) -> float | None:
    """0–1, by the model that makes the method's pictures (H, W, 3) uint8, source and take; None where it cannot tell.

    Raises MethodError where the model cannot be loaded.
    """
    from engine.diffusion.judging import Judge
    from engine.diffusion.pictures import fit

    model = context.backbone(card.Config(**edit.config).backbone)
    if not isinstance(model, Judge):
        return None
    source, take = (fit(one[None], model.working_size((one.shape[0], one.shape[1])))[0] for one in pictures)
    prompts = (edit.source_prompt, edit.target_prompt) if "source_prompt" in card.texts else ("", "")
    return model.fit(source, take, edit.instruction if "instruction" in card.texts else "", prompts)


def shown_first(anchor: Anchor) -> Take | None:
    """The approved take; else the newest one, or, of the newest that were made alike, the one that fits best."""
    if anchor.take is not None or not anchor.takes:
        return anchor.take
    newest = anchor.takes[-1]
    alike: Sequence[Take] = [one for one in anchor.takes if one.fit is not None and one.config == newest.config]
    return max(alike, key=lambda one: one.fit or 0.0) if newest.fit is not None else newest
