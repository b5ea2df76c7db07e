"""Scripts for child interpreters in which the order of imports is what is tested."""

import json
import shutil

from tests.hub.environment import REPOSITORY, isolated_environment, run_python

GOLDEN_MODEL = REPOSITORY / "tests" / "golden" / "base"
SWINL_TYPE = "swinL-semantic-segmentation"

PLUGIN = "import modelscope_vitadapter\n"
BUILTIN_PIPELINE = "import modelscope.pipelines.cv.image_semantic_segmentation_pipeline\n"
FAIL = "fail_as_builtin(MODEL)\n"

# Where the package is installed, its start-up hook would run before the script does; so the child
# starts with the package switched off and switches it on itself.
PREAMBLE = f"""
import os, sys
del os.environ["MODELSCOPE_VITADAPTER"]
MODEL = {str(GOLDEN_MODEL)!r}

def build(folder):
    from modelscope.pipelines import pipeline
    return pipeline("image-segmentation", model=folder, trust_remote_code=True)

def build_ours(folder):
    built = build(folder)
    for thing in (built, built.model, built.preprocessor):
        assert type(thing).__module__.startswith("modelscope_vitadapter."), type(thing)
    return built

def fail_as_builtin(folder):
    try:
        build(folder)
    except Exception as error:
        assert "No module named 'mmdet'" in str(error), error
    else:
        raise AssertionError("the built-in model was not asked for")
"""


def swinl_model(folder):
    """A model directory whose type shares the pipeline type but belongs to the built-in class."""
    shutil.copytree(GOLDEN_MODEL, folder)
    path = folder / "configuration.json"
    configuration = json.loads(path.read_text(encoding="utf-8"))
    configuration["model"]["type"] = SWINL_TYPE
    path.write_text(json.dumps(configuration), encoding="utf-8")


def run_child(script, folder, plugin_path=REPOSITORY):
    """Run `PREAMBLE` and `script` in a child; returns the completed process."""
    environment = isolated_environment(
        folder / "home", plugin_path=plugin_path, MODELSCOPE_VITADAPTER="0"
    )
    return run_python("-c", PREAMBLE + script, environment=environment, cwd=folder)
