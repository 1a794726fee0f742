"""Every model that this program can fetch: where it lies, which state of it, under which licence, how large it is.

`revision` is a full commit of the hub's repository. Where none could be made sure of it is None: then the first fetch
writes down the commit that it found with the digests of the files, and every later check holds the model to those.
Single files carry their publisher's sha256. `gigabytes` (to download) and `memory` (to run, in GB) are round figures
from the numbers of parameters; a fetch tells the exact size before it begins.
"""

from __future__ import annotations

from dataclasses import dataclass

APACHE, MIT, BSD = "Apache-2.0", "MIT", "BSD-3-Clause"
OPENRAIL = "CreativeML Open RAIL-M"
NON_COMMERCIAL = "CC-BY-NC-4.0"

PIPELINE = ("model_index.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors")
SINGLE = ("*.json", "*.txt", "model.safetensors")
NOT_NEEDED = ("safety_checker/*", "*.fp16.safetensors", "*.non_ema*", "*.msgpack", "*.onnx", "*.ckpt", "*.bin", "*.py")


@dataclass(frozen=True, slots=True)
class Download:
    """One file outside the hub. `size` in bytes; 0 where it is not known."""

    name: str
    address: str
    sha256: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """One model. It comes from a repository of the hub (`repo`) or as single files (`downloads`).

    `chosen_only`: its licence forbids commercial use, so it is fetched only when the user accepts that licence by name.
    `gated`: its publisher asks for an account that has agreed to the terms. `needs`: other models it works with.
    """

    name: str
    title: str
    purpose: str
    licence: str
    gigabytes: float
    memory: float
    repo: str = ""
    revision: str | None = None
    files: tuple[str, ...] = PIPELINE
    downloads: tuple[Download, ...] = ()
    needs: tuple[str, ...] = ()
    chosen_only: bool = False
    gated: bool = False

    @property
    def source(self) -> str:
        """Where it comes from, for a person."""
        return self.repo or self.downloads[0].address.split("/")[2]

    @property
    def pinned(self) -> str:
        """The state that is fetched: a commit, or the start of the only file's digest."""
        return self.downloads[0].sha256 if self.downloads else self.revision or ""


def _sam(size: str, title: str, sha256: str, length: int, memory: float) -> Model:
    name = f"sam_vit_{size}_{sha256[:6]}.pth"
    file = Download(name, f"https://dl.fbaipublicfiles.com/segment_anything/{name}", sha256, length)
    return Model(f"sam-{size}", title, "masks from clicks", APACHE, round(length / 1e9, 2), memory, downloads=(file,))


def _raft(size: str, name: str, sha256: str, gigabytes: float) -> Model:
    file = Download(name, f"https://download.pytorch.org/models/{name}", sha256)
    return Model(f"raft-{size}", f"RAFT {size}", "dense motion", BSD, gigabytes, 1.0, downloads=(file,))


_VIDEO = (
    Model(
        "wan2.1-1.3b", "Wan 2.1 T2V 1.3B", "video edits", APACHE, 28.9, 9.0,
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "0fad780a534b6463e45facd96134c9f345acfa5b",
    ),
    Model(
        "wan2.1-14b", "Wan 2.1 T2V 14B", "video edits", APACHE, 80.4, 40.0,
        "Wan-AI/Wan2.1-T2V-14B-Diffusers", "38ec498cb3208fb688890f8cc7e94ede2cbd7f68",
    ),
    Model(
        "wan2.2-5b", "Wan 2.2 TI2V 5B", "video edits", APACHE, 34.2, 20.0,
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers", "b8fff7315c768468a5333511427288870b2e9635",
    ),
    Model(
        "wan2.1-vace-1.3b", "Wan 2.1 VACE 1.3B", "video edits from masked video", APACHE, 31.0, 10.0,
        "Wan-AI/Wan2.1-VACE-1.3B-diffusers", "ec4d2cb062b548996b179d493fdd05340de702a1",
    ),
    Model(
        "wan2.1-vace-14b", "Wan 2.1 VACE 14B", "video edits from masked video", APACHE, 92.0, 48.0,
        "Wan-AI/Wan2.1-VACE-14B-diffusers", "db79b90c60bbb45ceec9e41b9d5a4df934538ac4",
    ),
    Model(
        "wan2.1-flf2v-14b", "Wan 2.1 FLF2V 14B", "frames between two anchors", APACHE, 91.0, 48.0,
        "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
    ),
    Model(
        "sama-14b", "SAMA 14B", "video edits by instruction", APACHE, 28.6, 40.0,
        "syxbb/SAMA-14B", "a91358332decca9adc7d0b77dc9345629cbf0852", ("sama_14b_ema.safetensors",),
        needs=("wan2.1-14b",),
    ),
)  # fmt: skip

_IMAGE = (
    Model(
        "instruct-pix2pix", "InstructPix2Pix SD 1.5", "takes by instruction", MIT, 4.3, 4.0,
        "timbrooks/instruct-pix2pix", "31519b5cb02a7fd89b906d88731cd4d6a7bbf88d",
    ),
    Model(
        "instruct-pix2pix-xl", "InstructPix2Pix SDXL 768", "takes by instruction", "CreativeML Open RAIL++-M", 13.9, 10.0,
        "diffusers/sdxl-instructpix2pix-768",
    ),
    Model(
        "stable-diffusion-1.5", "Stable Diffusion 1.5", "base of AnimateDiff", OPENRAIL, 4.3, 4.0,
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    ),
    Model(
        "animatediff-1.5.2", "AnimateDiff motion adapter v1-5-2", "video edits, with Stable Diffusion 1.5", APACHE, 1.8, 8.0,
        "guoyww/animatediff-motion-adapter-v1-5-2", "6167b88ffe39b4441fdf2113e77b99a6f56b7906",
        ("config.json", "diffusion_pytorch_model.safetensors"), needs=("stable-diffusion-1.5",),
    ),
    Model(
        "siglip-so400m", "SigLIP so400m/14 384", "what SAMA plans, in words and pictures", APACHE, 3.5, 2.0,
        "google/siglip-so400m-patch14-384", "9fdffc58afc957d1a03a25b10dba0329ab15c2a3", (*SINGLE, "spiece.model"),
    ),
)  # fmt: skip

_MARKS = (
    _sam("b", "SAM ViT-B", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375_042_383, 2.0),
    _sam("l", "SAM ViT-L", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1_249_524_607, 4.0),
    _sam("h", "SAM ViT-H", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2_564_550_879, 6.0),
    Model(
        "sam2.1-tiny", "SAM 2.1 tiny", "masks from clicks, carried masks", APACHE, 0.16, 1.0,
        "facebook/sam2.1-hiera-tiny", "de431c4043854a71d8101e17995dfe596bf101a5", SINGLE,
    ),
    Model(
        "sam2.1-base-plus", "SAM 2.1 base+", "masks from clicks, carried masks", APACHE, 0.32, 1.5,
        "facebook/sam2.1-hiera-base-plus", "b7320756a13354e7530a63935656d35b2f91a290", SINGLE,
    ),
    Model(
        "sam2.1-large", "SAM 2.1 large", "masks from clicks, carried masks", APACHE, 0.90, 2.5,
        "facebook/sam2.1-hiera-large", "665f8e2ad61cf5f53d65644ff27c8ee525124610", SINGLE,
    ),
    Model(
        "sam3", "SAM 3 tracker", "masks from clicks, carried masks", "SAM License", 3.4, 5.0,
        "facebook/sam3", "3c879f39826c281e95690f02c7821c4de09afae7", SINGLE, gated=True,
    ),
    Model(
        "grounding-dino-tiny", "Grounding DINO tiny", "subjects found by words", APACHE, 0.69, 1.5,
        "IDEA-Research/grounding-dino-tiny", "a2bb814dd30d776dcf7e30523b00659f4f141c71", SINGLE,
    ),
    Model(
        "grounding-dino-base", "Grounding DINO base", "subjects found by words", APACHE, 0.93, 2.0,
        "IDEA-Research/grounding-dino-base", "12bdfa3120f3e7ec7b434d90674b3396eccf88eb", SINGLE,
    ),
    _raft("small", "raft_small_C_T_V2-01064c6d.pth", "01064c6dba73b0fc9fc8edf772248560a00a3acfd62ac6677e9eeebad9680e27", 0.004),
    _raft(
        "large", "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "ff5fadd56d26b40647388883af1547351ea17868b765c05b27231e72dd16a322", 0.02
    ),
    Model(
        "cotracker3", "CoTracker 3", "point tracks", NON_COMMERCIAL, 0.10, 3.0,
        "facebook/cotracker3", "bf55ea50d4390e1820a267f131cd6587240fb2c5", ("scaled_offline.pth",), chosen_only=True,
    ),
    Model(
        "bootstapir", "BootsTAPIR", "point tracks", APACHE, 0.22, 3.0,
        downloads=(
            Download(
                "bootstapir_checkpoint_v2.pt",
                "https://storage.googleapis.com/dm-tapnet/bootstap/bootstapir_checkpoint_v2.pt",
                "8493c7a69e02c85b9382fbb3c7b8b539b36bc08ede744b9e99feb739a0129f4b",
                218_886_140,
            ),
        ),
    ),
)  # fmt: skip

MODELS: dict[str, Model] = {model.name: model for model in (*_VIDEO, *_IMAGE, *_MARKS)}
