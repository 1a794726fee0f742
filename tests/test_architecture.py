"""The house rules that a reader relies on: who imports whom, how long files and functions are, what stays unloaded."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"torch", "diffusers", "transformers", "accelerate", "peft"}
LAYERS = {"methods", "backbones", "training", "diffusion", "world"}
MEDIA = {"av", "imageio", "cv2", "scipy", "numpy", "PIL"}

# folder or module -> (packages from outside the standard library that it may import, where None is any,
#                      packages that it must not import at the top of a file but may inside a function,
#                      parts of the engine that it must not import)
RULES: dict[str, tuple[set[str] | None, set[str], set[str]]] = {
    "app/setup": (set(), set(), {"*"}),
    "app": ({"gradio", "gradio_client", "fastapi", "starlette", "uvicorn", "numpy", "PIL"}, set(), set()),
    "engine/types.py": ({"numpy"}, set(), LAYERS),
    "engine/document": ({"numpy"}, set(), LAYERS | {"editor", "rendering", "store", "commands"}),
    "engine/errors.py": ({"numpy"}, set(), LAYERS),
    "engine/commands/recipe.py": ({"numpy"}, set(), set()),
    "engine/jobs.py": ({"numpy", "ray"}, {"ray"}, set()),
    "engine/store": ({"numpy"}, set(), LAYERS | {"editor", "rendering", "commands"}),
    "engine/rendering": (MEDIA, set(), {"training", "commands"}),
    "engine/rendering/cluster": (MEDIA | {"ray", "torch"}, {"ray", "torch"}, {"training", "commands"}),
    "engine/models": (MODELS | {"numpy", "huggingface_hub", "safetensors"}, MODELS | {"huggingface_hub", "safetensors"}, LAYERS),
    "engine/media": (MEDIA, set(), LAYERS),
    "engine/motion": (MEDIA | {"torch", "torchvision"}, {"torch", "torchvision"}, LAYERS),
    "engine/composite.py": (MEDIA, set(), LAYERS),
    "engine/effects": (MEDIA, set(), LAYERS),
    "engine/interchange": (MEDIA, set(), LAYERS),
    "engine/quality.py": (MEDIA, set(), LAYERS),
    "engine/world": ({"torch", "numpy", "scipy"}, set(), LAYERS - {"world"}),
    "engine/diffusion/adapt.py": ({"torch", "peft", "safetensors"}, {"peft", "safetensors"}, {"methods", "backbones"}),
    "engine/diffusion": ({"torch", "numpy"}, set(), {"methods", "backbones"}),
    "engine/methods": (MEDIA | {"torch"}, set(), {"backbones", "training", "editor", "rendering", "store", "commands"}),
    "engine/backbones/__init__.py": ({"torch"}, {"torch"}, {"methods", "training"}),  # loads the others when they are asked for
    "engine/backbones": (None, set(), {"methods", "training"}),
    "engine/training": (None, set(), set()),
    "engine/segmentation": (None, MODELS | {"segment_anything"}, {"methods", "training"}),
    "engine/tracking": (None, MODELS, {"methods", "training"}),
    "engine": (None, MODELS | {"ray", "segment_anything", "huggingface_hub"}, set()),
}
TOP_LEVEL = {"app", "engine", "assets", "tests", "launch.py", "requirements.txt", "pyproject.toml", "README.md", "LICENSE"}


def tracked() -> list[str]:
    """Paths of the project's files: tracked ones, and new ones that git does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return sorted(path for path in listed.stdout.splitlines() if (ROOT / path).is_file())
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())  # a copy without git
    return sorted(path.as_posix() for path in found if not {".venv", "__pycache__"} & set(path.parts))


def sources(*folders: str) -> list[str]:
    return [path for path in tracked() if path.endswith(".py") and path.startswith(folders)]


@functools.cache
def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"), path)


def imports(path: str, tree: ast.Module) -> list[tuple[str, bool]]:
    """(full dotted name, whether at the top of the file) for each import; relative ones are made absolute.

    `from a import b` counts as `a.b`. What stands under `if TYPE_CHECKING` is never run and counts as lazy.
    """
    package = path.removesuffix(".py").split("/")[:-1]
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.extend((f"{base}.{alias.name}", top) for alias in node.names)
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            visit(child, top and not inner and not checking)

    visit(tree, True)
    return found


def rule_of(path: str) -> tuple[set[str] | None, set[str], set[str]]:
    names = [name for name in RULES if path == name or path.startswith(name + "/")]
    return RULES[max(names, key=len)]


def import_faults(path: str, tree: ast.Module) -> list[str]:
    """What the file imports against the rules of its place."""
    allowed, lazy, forbidden_parts = rule_of(path)
    faults = []
    for name, top in imports(path, tree):
        first, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if first == "engine":
            if path.startswith("app/") and ("*" in forbidden_parts or (rest and rest not in door_names())):
                faults.append(f"{name}: the app takes names from the engine's door only")
            elif part in forbidden_parts:
                faults.append(f"{name}: engine.{part} is off limits here")
            elif path.startswith("engine/methods/") and crosses_methods(path, name):
                faults.append(f"{name}: methods do not import each other")
        elif first in ("app", "tests"):
            if not path.startswith("app/") or first == "tests":
                faults.append(f"{name}: {first} is above this file")
        elif first in ("gradio", "fastapi", "starlette") and not path.startswith("app/"):
            faults.append(f"{name}: only the app knows the web")
        elif first not in sys.stdlib_module_names:
            if allowed is not None and first not in allowed:
                faults.append(f"{name}: not among {sorted(allowed)}")
            elif top and first in lazy:
                faults.append(f"{name}: import it inside the function that needs it")
    return faults


@functools.cache
def door_names() -> set[str]:
    """What `engine/__init__.py` exports: its `__all__`."""
    for node in tree_of("engine/__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def crosses_methods(path: str, name: str) -> bool:
    """Whether a method file imports another method's file; the registry, `base`, `cards` and its own parts are shared ground."""
    parts = name.split(".")
    if parts[:2] != ["engine", "methods"] or len(parts) < 3 or path.endswith(("__init__.py", "registry.py")):
        return False
    own = Path(path).stem.split("_")[0]
    shared = parts[2] in ("base", "cards", "registry") or parts[2].split("_")[0] == own
    return not shared and (ROOT / "engine/methods" / f"{parts[2]}.py").exists()


@pytest.mark.parametrize("path", sources("app/", "engine/"))
def test_imports_keep_to_the_house(path: str) -> None:
    assert import_faults(path, tree_of(path)) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("app/view.py", "import torch"),
        ("app/view.py", "from engine.media import reader"),
        ("app/view.py", "from engine import media"),
        ("app/panels/x.py", "from ...engine.media import reader"),
        ("app/setup/x.py", "import numpy"),
        ("engine/types.py", "import cv2"),
        ("engine/media/x.py", "import gradio"),
        ("engine/media/x.py", "from ..methods import base"),
        ("engine/motion/x.py", "import torch"),
        ("engine/diffusion/x.py", "import diffusers"),
        ("engine/editor.py", "from app import view"),
        ("engine/editor.py", "import tests.drawn"),
        ("engine/backbones/x.py", "from engine import methods"),
        ("engine/backbones/__init__.py", "class A:\n    import torch"),
        ("engine/world/x.py", "import cv2"),
    ],
)
def test_a_forbidden_import_is_seen(path: str, line: str) -> None:
    assert len(import_faults(path, ast.parse(line))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("app/view.py", "from engine import Project"),
        ("app/panels/x.py", "from ..view import draw\nimport gradio as gr"),
        ("engine/motion/x.py", "def raft():\n    import torch"),
        ("engine/backbones/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("engine/methods/motion.py", "from .base import Method\nfrom ..motion import flow"),
    ],
)
def test_an_allowed_import_passes(path: str, line: str) -> None:
    assert import_faults(path, ast.parse(line)) == []


@pytest.mark.parametrize("path", sources("app/", "engine/", "tests/", "launch.py"))
def test_files_and_functions_stay_short(path: str) -> None:
    assert size_faults(path, (ROOT / path).read_text("utf-8")) == []


def size_faults(path: str, text: str) -> list[str]:
    """Files over 400 lines, functions over 60 lines or with more than 5 positional arguments."""
    lines = text.count("\n")
    faults = [f"{path} has {lines} lines (at most 400)"] if lines > 400 else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if length > 60:
                faults.append(f"{path}:{node.lineno} {node.name} has {length} lines (at most 60)")
            if count > 5 and not path.startswith("tests/"):
                faults.append(f"{path}:{node.lineno} {node.name} has {count} positional arguments (at most 5)")
    return faults


def test_what_is_too_long_is_seen() -> None:
    assert len(size_faults("engine/x.py", "x = 1\n" * 401)) == 1
    assert len(size_faults("engine/x.py", "def f():\n" + "    x = 1\n" * 60)) == 1
    assert len(size_faults("engine/x.py", "def f(a, b, c, d, e, f): ...\n")) == 1
    assert size_faults("engine/x.py", "class A:\n    def f(self, a, b, c, d, e, *, f): ...\n" + "x = 1\n" * 398) == []


def test_no_drawer_for_everything() -> None:
    vague = ("utils.py", "helpers.py", "common.py", "misc.py")
    assert [path for path in sources("") if path.rsplit("/", 1)[-1] in vague] == []


def test_top_level_holds_what_it_should() -> None:
    assert {path.split("/")[0] for path in tracked() if not path.startswith(".")} <= TOP_LEVEL


def test_no_path_of_a_machine_in_any_file() -> None:
    """Paths under a user's or a build machine's folders: they work on one machine only."""
    pattern = re.compile(r"(?<![\w.$~{}/-])/(?:(?:home|work|Users|root)/\w|tmp/bash)")
    faults = []
    for path in tracked():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data[:4096]:
            lines = data.decode("utf-8", "replace").splitlines()
            faults += [f"{path}:{number}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    assert faults == []


def test_only_one_file_chooses_the_device() -> None:
    """`engine/device.py` alone decides between cuda, mps and cpu; others ask it."""
    literal = {"cuda", "mps"}
    for path in sources("app/", "engine/"):
        if path != "engine/device.py":
            words = {
                node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            assert not words & literal, f"{path} names a device"
            used = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
            assert not used & literal, f"{path} asks for a device itself"


def test_engine_opens_without_models_or_page() -> None:
    code = "import sys, engine; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    heavy = {*MODELS, "gradio", "fastapi", "pandas", "ray", "segment_anything"}
    assert not heavy & set(run.stdout.split())


def test_set_up_needs_the_standard_library_only() -> None:
    """-S and -I leave out every installed package, as on a machine with nothing installed."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import app.setup"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
