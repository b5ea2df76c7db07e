"""The import hook that lets ModelScope find this package in an unchanged script.

It runs at every interpreter start, so it imports only what the interpreter has loaded already;
the changes themselves live in `modelscope_vitadapter.plugin`, which is imported when the
first of the modules named here is.
"""

import os
import sys

TYPE_CHECKING = False  # `typing` itself would triple the cost of an interpreter start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

SWITCH = "MODELSCOPE_VITADAPTER"

HOOKED_MODULES = frozenset(
    {
        "modelscope.utils.import_utils",
        "modelscope.utils.cv.image_utils",
        "modelscope.preprocessors.base",
        "modelscope.models.cv.image_semantic_segmentation.semantic_seg_model",
        "modelscope.pipelines.cv.image_semantic_segmentation_pipeline",
    }
)


def is_enabled() -> bool:
    """Whether this package may change ModelScope: unless `MODELSCOPE_VITADAPTER` is `0`."""
    return os.environ.get(SWITCH) != "0"


class HookFinder:
    """Meta-path finder that lets another finder answer, then hooks the loader that it names."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Another finder's spec of one of `HOOKED_MODULES`, hooked; None for other modules."""
        if name not in HOOKED_MODULES or not is_enabled():
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if isinstance(finder, HookFinder) or find_spec is None:
                continue
            spec: ModuleSpec | None = find_spec(name, path, target)
            if spec is not None:
                _hook_loader(spec)
                return spec
        return None


def _hook_loader(spec: "ModuleSpec") -> None:
    # The loader object keeps its type, so that source, data and pickles of the module are found
    # as before; only its `exec_module` is shadowed.
    loader = spec.loader
    if loader is None:
        return
    execute = loader.exec_module

    def exec_module(module: "ModuleType") -> None:
        try:
            from modelscope_vitadapter.plugin.registration import execute_hooked
        except Exception:
            # An interpreter may outlive the files of this package (uninstalled, replaced).
            execute(module)
            return
        execute_hooked(execute, module)

    try:
        loader.exec_module = exec_module  # type: ignore[method-assign]
    except AttributeError:
        return


def install() -> None:
    """Puts the hook in place, once, and changes modules of ModelScope that are loaded already."""
    if not is_enabled():
        return
    # By name: a package that was imported twice must not stack its hooks.
    if not any(type(finder).__name__ == HookFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, HookFinder())
    loaded = [sys.modules[name] for name in HOOKED_MODULES if name in sys.modules]
    if loaded:
        from modelscope_vitadapter.plugin.registration import change_module

        for module in loaded:
            change_module(module)
