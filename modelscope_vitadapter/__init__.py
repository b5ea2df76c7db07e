"""ViT-Adapter semantic segmentation for ModelScope.

Importing this package makes `modelscope.pipelines.pipeline` build its classes for the hub's
ViT-Adapter model, before or after ModelScope is imported. An installed package is imported at
interpreter start, so scripts need no import of their own. `MODELSCOPE_VITADAPTER=0` in the
environment switches all of it off.
"""

from modelscope_vitadapter import _boot
from modelscope_vitadapter.version import __version__

__all__ = ["__version__"]

_boot.install()
