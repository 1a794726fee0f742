"""torchvision beside torch: added only where the installed torch can load it, and taken away again where it cannot.

Its published build needs the CUDA libraries of torch. Beside a torch without them it cannot be imported, and then many
classes of diffusers and transformers cannot either, which look for it. Nothing here needs it but RAFT.
"""

import subprocess

from .pip import Progress, pip_environment, run_pip
from .stages import Place, SetupError

MATCHING = {"2.13": "0.28.*"}
"""Of each torch that is asked for, the torchvision that was built for it."""
LOADS = "import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)"


def add_torchvision(place: Place, lock: int, progress: Progress) -> None:
    """Adds the matching version where it can be loaded. That it is not there afterwards is no failure."""
    version = _said_by(place, "import torch; print(torch.__version__)")
    matching = MATCHING.get(".".join(version.split(".")[:2]))
    if matching is None or version.endswith("+cpu") or _said_by(place, "import torchvision; print(1)") == "1":
        return
    if _said_by(place, "import importlib.util; print(importlib.util.find_spec('torchvision') is None)") != "True":
        return  # the user's own, broken: doctor explains
    try:
        # --no-deps: it must never bring another torch along.
        run_pip(
            place, ["install", "--progress-bar", "off", "--no-deps", f"torchvision=={matching}"], lock, progress, progress.show
        )
    except SetupError:
        return  # no such build for this system; pip's words are in the log
    if _said_by(place, f"{LOADS}; print(1)") != "1":
        run_pip(place, ["uninstall", "-y", "torchvision"], lock, progress, progress.show)


def _said_by(place: Place, code: str) -> str:
    """What the venv's Python prints; "" where it fails."""
    command = [str(place.python), "-c", code]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=pip_environment())
    return ran.stdout.strip() if ran.returncode == 0 else ""
