"""Scripts for child interpreters in which the order of imports is what is tested."""

import json
import shutil

from tests.hub.environment import REPOSITORY, isolated_environment, run_python

GOLDEN_MODEL = REPOSITORY / "tests" / "golden" / "base"
SWINL_TYPE = "swinL-semantic-segmentation"

# Where the package is installed, its start-up hook would run before the script does; so the child
# starts with the package switched off and switches it on itself.
PREAMBLE = """
import os, sys
del os.environ["MODELSCOPE_VITADAPTER"]
"""
PLUGIN = "import modelscope_vitadapter\n"
PIPELINES = "import modelscope.pipelines\n"
BUILTIN_PIPELINE = "import modelscope.pipelines.cv.image_semantic_segmentation_pipeline\n"
BUILTIN_MODEL = """
try:
    import modelscope.models.cv.image_semantic_segmentation.semantic_seg_model
except ImportError as error:
    assert "mmdet" in str(error), error
else:
    sys.exit("mmdet is installed where these tests expect it to be absent")
"""

FUNCTIONS = """
def build(folder):
    from modelscope.pipelines import pipeline
    return pipeline("image-segmentation", model=folder, trust_remote_code=True)

def build_ours(folder):
    built = build(folder)
    for thing in (built, built.model, built.preprocessor):
        assert type(thing).__module__.startswith("modelscope_vitadapter."), type(thing)

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
    return folder


def run_child(script, folder, plugin_path=REPOSITORY, check=True, switch="0", **variables):
    """Run `PREAMBLE`, the functions and `script` in a child; returns the completed process."""
    environment = isolated_environment(
        folder / "home", plugin_path=plugin_path, MODELSCOPE_VITADAPTER=switch, **variables
    )
    return run_python(
        "-c", PREAMBLE + FUNCTIONS + script, environment=environment, cwd=folder, check=check
    )
