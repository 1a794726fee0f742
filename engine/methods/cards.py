"""What is known of a method without loading it: the page, recipes and planning need no more, and torch takes seconds.

Each method's `Config` is here too, since panel, recipe key and project file are derived from its fields: `min`, `max` and
`help`, or `kind`; the method's own file says what they mean in its equations.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Card:
    """`where`: module:class. `texts`: the fields of the edit that it reads, which the panel shows.

    `anchors`: it works between approved anchors and needs one; otherwise it edits by text, and anchors guide it.
    `exact`: it keeps approved anchors and everything outside the region itself; otherwise engine/rendering/anchoring.py does.
    `shares`: its `prepare` does work that all segments of a shot share.
    `takes`: it can make a take of a single frame. `spots`: frames that are anchors without an approved take are edited too.
    `tracks`: it reads the user's tracked points, and finds anchor tokens that the user may change.
    `pieces`: frames after which a stretch that is not between two anchors may be cut without changing a pixel, since the method
    makes each such piece on its own; 0 = not. Pieces are kept, resumed and spread over workers as segments are.
    """

    where: str
    title: str
    paper: str
    Config: type
    texts: tuple[str, ...] = ()
    anchors: bool = False
    exact: bool = False
    shares: bool = True
    takes: bool = True
    spots: bool = False
    tracks: bool = False
    pieces: int = 0


@dataclass(frozen=True)
class MotionConfig:
    nearness: float = field(
        default=1.0,
        metadata={"min": 0.2, "max": 4.0, "help": "How strongly the nearer anchor wins: 1 fades evenly, more switches sooner."},
    )
    trust: float = field(
        default=2.0,
        metadata={
            "min": 0.0,
            "max": 6.0,
            "help": "How strongly places that no longer look like the anchor are mistrusted.",
        },
    )
    follows: str = field(
        default="auto",
        metadata={
            "kind": "choice",
            "choices": ("auto", "subject", "background"),
            "help": "What the edit moves with: the subject, or, where it was taken away, what lies behind it.",
        },
    )
    recolour: bool = field(
        default=True, metadata={"help": "Carry changes of colour as such: they follow the frame's own shading and grain."}
    )
    smooth: bool = field(default=True, metadata={"help": "Each subject moves as one surface that bends smoothly."})
    lock: bool = field(default=True, metadata={"help": "Compare every frame with the anchor itself: paint does not drift."})
    edges: bool = field(default=True, metadata={"help": "Keep the edit off things that pass in front of the subject."})
    light: bool = field(default=True, metadata={"help": "Paint gets lighter and darker with the subject."})
    bands: bool = field(default=True, metadata={"help": "Where two anchors differ in detail, show one of them, not a mixture."})


@dataclass(frozen=True)
class FlowAnchorConfig:
    backbone: str = field(
        default="bundled",
        metadata={
            "kind": "choice",
            "choices": ("bundled", "wan2.1-1.3b", "wan2.1-14b", "wan2.2-5b"),
            "help": "The text-to-video model that edits.",
        },
    )
    steps: int = field(default=25, metadata={"min": 1, "max": 50, "help": "Noise levels of the model: more is finer and slower."})
    skip: int = field(
        default=2,
        metadata={"min": 0, "max": 15, "help": "First steps left out: more stays closer to the source's outlines and layout."},
    )
    guidance_source: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly the source prompt is followed; 0 takes what suits the model."},
    )
    guidance_target: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly the target prompt is followed; 0 takes what suits the model."},
    )
    beta_text: float = field(
        default=0.3,
        metadata={"min": 0.0, "max": 1.0, "help": "Within the mask: how much attention goes to the words to edit (β1)."},
    )
    beta_space_time: float = field(
        default=0.3,
        metadata={"min": 0.0, "max": 1.0, "help": "For the words to edit: how much attention is drawn into the mask (β2)."},
    )
    gamma: float = field(
        default=1.0,
        metadata={"min": 0.0, "max": 2.0, "help": "How much the edit is strengthened as the clip gets longer (γ)."},
    )
    tau: float = field(
        default=0.6,
        metadata={"min": 0.0, "max": 1.0, "help": "Attention is held to the mask while the noise level is at least this (τ)."},
    )
    contrast: str = field(
        default="signed",
        metadata={
            "kind": "choice",
            "choices": ("signed", "absolute"),
            "help": "Where the edit is strengthened: by its signed mean, as published, or wherever it is strong.",
        },
    )
    background_lock: bool = field(
        default=False, metadata={"help": "Hold the source outside the mask at every step, not only in the finished picture."}
    )


@dataclass(frozen=True)
class ViaConfig:
    backbone: str = field(
        default="bundled",
        metadata={
            "kind": "choice",
            "choices": ("bundled", "analytic", "instruct-pix2pix", "instruct-pix2pix-xl"),
            "help": "The model that edits pictures by an instruction.",
        },
    )
    steps: int = field(default=10, metadata={"min": 1, "max": 50, "help": "Noise levels of the model: more is finer and slower."})
    swap_steps: int = field(
        default=8, metadata={"min": 0, "max": 50, "help": "First steps in which frames see the group instead of themselves."}
    )
    group: int = field(default=4, metadata={"min": 1, "max": 8, "help": "Frames that all others follow, beside the anchors."})
    guidance_text: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly the instruction is followed; 0 takes what suits the model."},
    )
    guidance_image: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 4.0, "help": "How closely the frame is followed; 0 takes what suits the model."},
    )
    adapt_steps: int = field(
        default=60,
        metadata={"min": 0, "max": 1000, "help": "Steps in which the model learns the approved anchors; 0 leaves it as it is."},
    )
    gather: bool = field(default=True, metadata={"help": "Frames of the group follow one another, not each itself."})
    swap: bool = field(default=True, metadata={"help": "All frames follow the group; without, each is edited by itself."})
    local: bool = field(default=True, metadata={"help": "Bring the source back outside the mask, step by step."})


@dataclass(frozen=True)
class PointToPointConfig:
    backbone: str = field(
        default="bundled",
        metadata={
            "kind": "choice",
            "choices": ("bundled", "analytic", "animatediff-1.5.2"),
            "help": "The text-to-video model that draws the new subject.",
        },
    )
    tokens: int = field(
        default=24,
        metadata={
            "min": 0,
            "max": 128,
            "help": "Anchor tokens at most: fewer leave the new subject's shape freer, more follow the motion more strictly.",
        },
    )
    threshold: float = field(
        default=0.0,
        metadata={
            "min": 0.0,
            "max": 2.0,
            "help": "Motions nearer to each other than this share a token (τ_d); 0 takes what suits the model.",
        },
    )
    keyframes: int = field(default=3, metadata={"min": 1, "max": 9, "help": "Frames from which everything is followed."})
    feature_level: float = field(
        default=0.26, metadata={"min": 0.02, "max": 0.9, "help": "Noise level at which the model is asked how things move (t*)."}
    )
    tune_steps: int = field(
        default=60, metadata={"min": 0, "max": 500, "help": "Steps in which the model learns what the tokens mean on the source."}
    )
    adapt_steps: int = field(
        default=60,
        metadata={
            "min": 0,
            "max": 1000,
            "help": "Steps of learning the new subject from approved takes; 0: by text alone.",
        },
    )
    lora: str = field(
        default="",
        metadata={
            "kind": "file",
            "label": "LoRA of the new subject",
            "help": "A file of your own (.safetensors), made for the model above: its path; empty: none.",
        },
    )
    lora_strength: float = field(default=1.0, metadata={"min": 0.0, "max": 2.0, "help": "How much of that LoRA."})
    steps: int = field(default=25, metadata={"min": 1, "max": 100, "help": "Noise levels of the model: more is finer, slower."})
    start: str = field(
        default="auto",
        metadata={
            "kind": "choice",
            "choices": ("auto", "noise"),
            "help": "What is denoised: the source inverted by the model where it can be, or the source under noise.",
        },
    )
    strength: float = field(
        default=0.9,
        metadata={"min": 0.05, "max": 1.0, "help": "Noise level to start from: less keeps more of the old subject's outline."},
    )
    guidance: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly the target prompt is followed; 0 takes what suits the model."},
    )
    gain: float = field(default=1.0, metadata={"min": 0.0, "max": 2.0, "help": "How loudly the tokens are told."})
    inject: float = field(
        default=0.5, metadata={"min": 0.0, "max": 1.0, "help": "First share of the steps in which the tokens are told."}
    )
    align: float = field(
        default=0.3,
        metadata={
            "min": 0.0,
            "max": 0.9,
            "help": "Share of the steps after which tokens move to where the new subject moves like them; 0: never.",
        },
    )


@dataclass(frozen=True)
class AnchorSyncConfig:
    backbone: str = field(
        default="bundled",
        metadata={
            "kind": "choice",
            "choices": ("bundled", "analytic", "instruct-pix2pix", "instruct-pix2pix-xl"),
            "help": "The model that edits the anchors together.",
        },
    )
    interpolation: str = field(
        default="motion",
        metadata={
            "kind": "choice",
            "choices": ("motion", "bundled", "wan2.1-vace-1.3b", "wan2.1-vace-14b", "wan2.1-flf2v-14b"),
            "help": "What makes the frames between anchors: motion propagation, or a model that is given both ends.",
        },
    )
    interval: int = field(
        default=24, metadata={"min": 2, "max": 240, "help": "Frames between anchors at most, where you have put none yourself."}
    )
    most_anchors: int = field(
        default=0, metadata={"min": 0, "max": 1000, "help": "Anchors in a shot at most, beside yours; 0: as the distance asks."}
    )
    steps: int = field(default=16, metadata={"min": 1, "max": 50, "help": "Noise levels of the anchors: more is finer, slower."})
    far_share: float = field(
        default=0.4,
        metadata={"min": 0.0, "max": 1.0, "help": "Share of the steps in which anchors far apart see each other."},
    )
    structure_steps: int = field(
        default=3, metadata={"min": 0, "max": 50, "help": "First steps in which the source's structure is put into the anchors."}
    )
    structure: float = field(default=0.5, metadata={"min": 0.0, "max": 1.0, "help": "How much of the source's structure."})
    guidance_text: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly the instruction is followed; 0 takes what suits the model."},
    )
    guidance_image: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 4.0, "help": "How closely the anchor's frame is followed; 0 takes what suits the model."},
    )
    video_steps: int = field(default=25, metadata={"min": 1, "max": 50, "help": "Noise levels of the frames between anchors."})
    video_guidance: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly frames between follow the text; 0 takes what suits the model."},
    )
    joint: bool = field(default=True, metadata={"help": "Edit all anchors together; without, each by itself."})
    edges: bool = field(default=True, metadata={"help": "Show the model between anchors the source's edges."})
    flow: bool = field(default=True, metadata={"help": "Show the model between anchors the source's motion."})


@dataclass(frozen=True)
class SamaConfig:
    backbone: str = field(
        default="bundled",
        metadata={"kind": "choice", "choices": ("bundled",), "help": "The instruction model that edits."},
    )
    steps: int = field(default=8, metadata={"min": 1, "max": 50, "help": "Noise levels of the model: more is finer and slower."})
    guidance: float = field(
        default=0.0,
        metadata={"min": 0.0, "max": 15.0, "help": "How strictly the instruction is followed; 0 takes what suits the model."},
    )
    anchor_guide: bool = field(
        default=True,
        metadata={"help": "An approved anchor says what the edit means, beside the text."},
    )
    anchor_until: float = field(
        default=0.3,
        metadata={"min": 0.0, "max": 1.0, "help": "Semantic tokens follow the anchor while the noise level is at least this."},
    )
