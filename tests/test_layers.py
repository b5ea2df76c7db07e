"""Imports point one way, files and functions stay short; read from the source, nothing is run."""

import ast
import re
import sys
from importlib.metadata import requires
from pathlib import Path

import modelscope_vitadapter

PACKAGE = "modelscope_vitadapter"
ROOT = Path(modelscope_vitadapter.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

LAYERS = [
    {"version", "_boot", "errors", "logs", "hints", "interrupts"}
    | {"validation", "devices", "distributed", "ahead"},
    {"config"},
    {"checkpoint"},
    {"network"},
    {"images"},
    {"visualization"},
    {"inference"},
    {"segmenter"},
    {"geotiff"},
    {"datasets"},
    {"formats"},
    {"prediction"},
    {"evaluation"},
    {"training"},
    {"plugin"},
    {"command"},
    {"__init__", "__main__"},
]
"""From the ground up: a room imports only itself and rooms of layers below."""

EXCEPTIONS = {
    # Started before anything else; it reaches for the changes when ModelScope is imported.
    "_boot.py": {"plugin"},
    # Settings become modules in this one file.
    "network/build.py": {"config"},
}

GROUND = {"version", "errors", "logs", "hints", "validation"}
"""Files that import the standard library only, since commands need them before anything heavy."""

NETWORK_MAY = {"network", "devices", "errors", "logs"}

FORBIDDEN = r"(mmdet|mmseg|timm|torchvision|mmcv\.(ops|runner|_ext))\b"

MAX_LINES, MAX_FUNCTION_LINES = 400, 60

PROVIDED = {"PIL", "requests", "scipy", "tqdm", "mmengine", "yaml"}
"""What declared dependencies bring along, see docs/dependencies.md."""

IMPORT_NAMES = {"mmcv-lite": "mmcv", "opencv-python": "cv2"}


def room_of(name):
    return name.split("/")[0].removesuffix(".py")


def layer_of(room):
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def tree_of(name):
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name, *, when_loaded=False):
    """Full names of what a file imports; with `when_loaded` only what loading it imports."""
    tree = tree_of(name)
    skipped = set()
    for node in ast.walk(tree):
        only_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        deferred = when_loaded and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if only_types or deferred:
            skipped |= {id(inner) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(found):
    """The rooms of this package among imports."""
    return {one.split(".")[1] for one in found if one.startswith(f"{PACKAGE}.")}


def third_parties(found):
    return {one.split(".")[0] for one in found} - set(sys.stdlib_module_names) - {PACKAGE}


def test_a_room_imports_only_what_lies_below_it():
    wrong = []
    for name in FILES:
        room, rooms = room_of(name), own(imports(name)) - EXCEPTIONS.get(name, set())
        above = {one for one in rooms - {room} if layer_of(one) >= layer_of(room) > 0}
        if room == "network":
            above |= rooms - NETWORK_MAY
        wrong += [f"{name} imports {one}" for one in sorted(above)]
    assert wrong == []


def test_third_parties_are_declared_and_in_their_rooms():
    required = [re.split(r"[\[<>=; ]", one)[0] for one in requires("modelscope-vitadapter")]
    declared = {IMPORT_NAMES.get(one, one) for one in required} | PROVIDED
    wrong = []
    for name in FILES:
        everywhere, loading = imports(name), third_parties(imports(name, when_loaded=True))
        allowed = {"torch", "scipy"} if room_of(name) == "network" else declared
        if room_of(name) in GROUND:
            allowed = set()
        elif room_of(name) != "plugin":
            allowed = allowed - {"modelscope"}
        forbidden = {one for one in everywhere if re.match(FORBIDDEN, one)}
        wrong += [f"{name} imports {one}" for one in sorted(forbidden | loading - allowed)]
    assert wrong == []


def test_no_two_files_import_each_other():
    modules = {f"{PACKAGE}.{name.removesuffix('.py').replace('/', '.')}": name for name in FILES}
    graph = {}
    for module, name in modules.items():
        found = imports(name, when_loaded=True)
        known = {one if one in modules else one.rpartition(".")[0] for one in found}
        graph[module] = known & modules.keys()
    while free := {module for module, needs in graph.items() if not needs & graph.keys()}:
        graph = {module: needs for module, needs in graph.items() if module not in free}
    assert not graph


def test_files_and_functions_are_short():
    long = [name for name in FILES if (ROOT / name).read_text("utf-8").count("\n") > MAX_LINES]
    long += [
        f"{name}: {node.name}"
        for name in FILES
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno - node.body[0].lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []
