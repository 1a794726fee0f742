"""The methods, by name. A new one is one file here, its card in cards.py and one line below; panel, recipe and tests follow."""

from __future__ import annotations

from importlib import import_module

from engine.errors import MethodError
from engine.methods.base import Method
from engine.methods.cards import AnchorSyncConfig, Card, FlowAnchorConfig, MotionConfig, PointToPointConfig, SamaConfig, ViaConfig

METHODS = {
    "motion": Card(
        "engine.methods.motion:Motion",
        title="Motion propagation (no weights)",
        paper="",
        Config=MotionConfig,
        anchors=True,
        exact=True,
        shares=False,
        takes=False,
    ),
    "flowanchor": Card(
        "engine.methods.flowanchor:FlowAnchor",
        title="FlowAnchor (source and target prompt)",
        paper="arXiv 2604.22586",
        Config=FlowAnchorConfig,
        texts=("source_prompt", "target_prompt", "target_words"),
    ),
    "sama": Card(
        "engine.methods.sama:Sama",
        title="SAMA (instruction)",
        paper="arXiv 2603.19228",
        Config=SamaConfig,
        texts=("instruction",),
        shares=False,
    ),
    "via": Card(
        "engine.methods.via:Via",
        title="VIA (instruction, long clips)",
        paper="arXiv 2406.12831",
        Config=ViaConfig,
        texts=("instruction",),
        pieces=96,  # a multiple of its CHUNK, and more than what an anchor's correction reaches
    ),
    "point_to_point": Card(
        "engine.methods.point_to_point:PointToPoint",
        title="Point-to-Point (another subject, same motion)",
        paper="arXiv 2511.18277",
        Config=PointToPointConfig,
        texts=("source_prompt", "target_prompt"),
        tracks=True,
    ),
    "anchorsync": Card(
        "engine.methods.anchorsync:AnchorSync",
        title="AnchorSync (instruction, sparse anchors)",
        paper="AnchorSync: Global Consistency Optimization for Long Video Editing",
        Config=AnchorSyncConfig,
        texts=("instruction",),
        exact=True,
        spots=True,
    ),
}


def card(name: str) -> Card:
    """What is known of the method of that name without loading it. Raises MethodError for an unknown one."""
    if name not in METHODS:
        raise MethodError(f'There is no method "{name}"; there are: {", ".join(METHODS)}.')
    return METHODS[name]


def method(name: str) -> Method:
    """The method of that name, loaded now. Raises MethodError for an unknown one."""
    module, _, attribute = card(name).where.partition(":")
    made: Method = getattr(import_module(module), attribute)()
    return made
