"""Imports point one way; files and functions stay short. Read from the source, nothing is run."""

import ast
import sys
from pathlib import Path

import pytest

import modelscope_vitadapter

ROOT = Path(modelscope_vitadapter.__file__).parent
PACKAGE = "modelscope_vitadapter"
FILES = sorted(ROOT.rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]
BASIS = {"errors", "logs", "version"}

MODELSCOPE_LAYER = (
    "segmentation_model.py",
    "segmentation_preprocessor.py",
    "segmentation_pipeline.py",
    "segmentation_metric.py",
    "evaluation/models.py",  # builds a pipeline, in a function
    "trainer/",
    "command/",
    "_hooks/",
    "_boot.py",
)
FORBIDDEN = ("mmdet", "mmseg", "timm", "torchvision", "mmcv.ops", "mmcv.runner", "mmcv._ext")

STAGE_NAMES = f"{PACKAGE}.network.stages"
"""What is not part of the network in `network/`: names for whoever measures a pass."""

LEAVES = ("evaluation", "command")
EVALUATION_USERS = ("evaluation/", "segmentation_metric.py", "command/", "training/", "trainer/")

MAX_LINES = 320
MAX_FUNCTION_LINES = 60


def parsed(name):
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imported(nodes, name):
    """Full names of what the import statements among `nodes` bind."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def type_checking_only(tree):
    blocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]
    return {id(inner) for block in blocks for inner in ast.walk(block)}


def imports_of(name):
    """All imports of a file, also those inside functions; not those for type checkers."""
    tree = parsed(name)
    skipped = type_checking_only(tree)
    return imported((node for node in ast.walk(tree) if id(node) not in skipped), name)


def module_level_imports_of(name):
    """What a file imports when it is imported."""
    tree = parsed(name)
    functions = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    ]
    skipped = type_checking_only(tree) | {id(node) for node in functions}
    return imported((node for node in ast.walk(tree) if id(node) not in skipped), name)


def top_names(imports):
    return {name.split(".")[0] for name in imports}


def own_parts(imports):
    """Which parts of this package are imported: `errors`, `config`, `network`..."""
    return {
        name.split(".")[1]
        for name in imports
        if name.startswith(f"{PACKAGE}.") and name.count(".") > 0
    }


def third_parties(imports):
    return top_names(imports) - set(sys.stdlib_module_names) - {PACKAGE, "__future__"}


def inside(*folders):
    chosen = [name for name in NAMES if name.startswith(folders)]
    assert chosen
    return pytest.mark.parametrize("name", chosen)


@pytest.mark.parametrize("name", ["errors.py", "version.py", "logs.py"])
def test_the_basis_imports_the_standard_library_only(name):
    assert third_parties(imports_of(name)) == set()
    assert own_parts(imports_of(name)) <= {"errors"}


@inside("network/")
def test_network_imports_torch_and_its_siblings(name):
    assert third_parties(module_level_imports_of(name)) <= {"torch"}
    assert third_parties(imports_of(name)) <= {"torch", "scipy"}
    assert own_parts(imports_of(name)) <= {"errors", "logs", "network"}


@inside("config/")
def test_config_imports_no_torch(name):
    assert third_parties(module_level_imports_of(name)) <= {"addict"}
    assert third_parties(imports_of(name)) <= {"addict", "mmengine"}
    assert own_parts(imports_of(name)) <= BASIS | {"config"}


@inside("images/")
def test_images_import_no_modelscope(name):
    assert third_parties(module_level_imports_of(name)) <= {"numpy", "cv2", "PIL", "mmcv"}
    assert own_parts(imports_of(name)) <= BASIS | {"config", "images"}


@inside("checkpoint/")
def test_checkpoint_imports_torch_numpy_safetensors(name):
    assert third_parties(imports_of(name)) <= {"torch", "numpy", "safetensors"}
    assert own_parts(imports_of(name)) <= BASIS | {"checkpoint"}


@inside("inference/")
def test_inference_knows_no_network(name):
    imports = imports_of(name)
    assert third_parties(imports) <= {"torch", "numpy"}
    own = {one for one in imports if not one.startswith(STAGE_NAMES)}
    assert own_parts(own) <= BASIS | {"config", "inference"}


@inside("labelled/")
def test_labelled_data_sets_know_no_network_and_no_modelscope(name):
    assert third_parties(imports_of(name)) <= {"numpy", "PIL"}
    assert own_parts(imports_of(name)) <= BASIS | {"config", "images", "labelled"}


@inside("evaluation/")
def test_evaluation_imports_what_it_measures_only_in_functions(name):
    assert third_parties(module_level_imports_of(name)) <= {"numpy", "torch"}
    optional = {"matplotlib", "tqdm"} | ({"modelscope"} if name.endswith("/models.py") else set())
    assert third_parties(imports_of(name)) <= {"numpy", "torch"} | optional
    known = {"images", "inference", "labelled", "evaluation", "process_group"}
    assert own_parts(imports_of(name)) <= BASIS | known


@inside("command/")
def test_the_command_line_imports_nothing_heavy_before_it_runs(name):
    assert third_parties(module_level_imports_of(name)) == set()


def test_evaluation_and_command_line_are_leaves():
    users = {part: {n for n in NAMES if part in own_parts(imports_of(n))} for part in LEAVES}
    assert all(name.startswith(EVALUATION_USERS) for name in users["evaluation"])
    assert all(name.startswith(("command/", "__main__.py")) for name in users["command"])


def test_the_network_is_put_together_in_one_file():
    assert own_parts(imports_of("build.py")) <= {"config", "network"}
    assert third_parties(imports_of("build.py")) == {"torch"}
    users = {
        name
        for name in NAMES
        if any(
            one.startswith(f"{PACKAGE}.network") and not one.startswith(STAGE_NAMES)
            for one in imports_of(name)
        )
    }
    others = {name for name in users if not name.startswith(("network/", "training/", "trainer/"))}
    assert others <= {"build.py", "segmentation_model.py"}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(MODELSCOPE_LAYER)])
def test_only_the_modelscope_layer_imports_modelscope(name):
    assert "modelscope" not in top_names(imports_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_no_longer_installs_is_imported(name):
    found = {
        imported
        for imported in imports_of(name)
        for forbidden in FORBIDDEN
        if imported == forbidden or imported.startswith(f"{forbidden}.")
    }
    assert found == set()


def test_the_package_itself_imports_nothing_heavy():
    assert third_parties(module_level_imports_of("__init__.py")) == set()
    assert third_parties(module_level_imports_of("_boot.py")) == set()


@pytest.mark.parametrize("name", NAMES)
def test_no_module_is_invisible_to_the_plugin_importer_by_accident(name):
    parts = name.removesuffix(".py").split("/")
    assert not any(part.startswith("test") for part in parts)
    hidden = [part for part in parts if part.startswith("_") and part != "__init__"]
    assert set(hidden) <= {"_boot", "_hooks", "__main__"}


def test_the_process_group_knows_pytorch_only():
    name = "process_group.py"
    assert third_parties(imports_of(name)) == {"torch"}
    assert own_parts(imports_of(name)) == set()


@pytest.mark.parametrize("name", NAMES)
def test_files_and_functions_stay_short(name):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(parsed(name))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == {}


@inside("training/")
def test_training_knows_no_modelscope_and_no_trainer(name):
    assert third_parties(module_level_imports_of(name)) <= {"torch", "numpy", "cv2"}
    known = {"build", "checkpoint", "config", "images", "labelled", "model_config", "network"}
    known |= {"model_type", "process_group"}
    assert own_parts(imports_of(name)) <= BASIS | known | {"training"}


def test_only_the_command_and_the_hooks_refer_to_the_trainer():
    users = {
        name
        for name in NAMES
        if any(one.startswith(f"{PACKAGE}.trainer") for one in imports_of(name))
    }
    assert {name for name in users if not name.startswith("trainer/")} == {"command/train.py"}
