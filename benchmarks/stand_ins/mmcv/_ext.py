"""Stands in for mmcv's compiled operators, which can't be built against today's PyTorch.

On a CPU, mmcv computes deformable attention in plain PyTorch; nothing else of its operators is used
by the built-in model, so none of them is ever called.
"""


class _NotCompiled:
    """An operator that can be imported and looked up, but not run."""

    def __init__(self, name):
        self.name = name

    def __call__(self, *args, **kwargs):
        raise NotImplementedError(
            f"mmcv's compiled operator {self.name!r} is not part of this environment"
        )


def __getattr__(name):
    if name[:2] == "__":  # what the import system asks every module for
        raise AttributeError(name)
    return _NotCompiled(name)
