"""`python -m engine.models.unpack CHECKPOINT OUT`: a torch checkpoint as safetensors, in a process that may be lost.

Prints one line saying what is wrong and ends with 1 where the file is refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = 6 * 2**30  # bytes of address space beside three times the file: torch alone maps a few GB


def main(path: Path, out: Path) -> int:
    import torch
    from safetensors.torch import save_file

    from engine.models.weights import flat

    _bound_memory(path.stat().st_size)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        # Namespaces are data: argparse's options are often left in checkpoints. Sparse tensors are checked, because torch
        # does not by itself, and one with false indices makes it read anywhere.
        with torch.serialization.safe_globals([argparse.Namespace]), _checked_sparse():
            value = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: one.to_dense() if one.is_sparse else one for name, one in flat(value).items()}
        if not found:
            raise ValueError("it holds no tensors")
        # Tensors that share memory are written each for itself.
        save_file({name: one.detach().contiguous().clone() for name, one in found.items()}, part)
        os.replace(part, out)
    except Exception as error:  # whatever a hostile file makes torch raise is a refusal
        text = str(error).split("\n")[0]
        more = "more than data is in it" if "weights_only" in str(error) or "Unsupported" in text else text[:160]
        print(more or type(error).__name__)
        return 1
    finally:
        part.unlink(missing_ok=True)
    return 0


@contextmanager
def _checked_sparse() -> Iterator[None]:
    import torch

    with torch.sparse.check_sparse_tensor_invariants(True):
        yield


def _bound_memory(size: int) -> None:
    """Where the system can bound it (not on Windows and macOS)."""
    if sys.platform != "linux":
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + 3 * size + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
