"""Models from the hub: what there is, what of it is here, how it comes here and is checked.

Nothing here runs code that came with a model, and no weights are read but by `engine.models.weights`.
"""

from __future__ import annotations

from engine.errors import MethodError
from engine.models.catalogue import MODELS, Model
from engine.models.store import digest_of, folder_of, is_here, models_here

__all__ = ["MODELS", "Model", "digest_of", "folder_of", "is_here", "model", "models_here"]


def model(name: str) -> Model:
    """Raises MethodError for a name that is none."""
    if name not in MODELS:
        raise MethodError(f'There is no model "{str(name)[:40]}"; there are: {", ".join(MODELS)}.')
    return MODELS[name]
