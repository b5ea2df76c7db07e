"""ViT-Adapter semantic segmentation for ModelScope."""

from modelscope_vitadapter.version import __version__

__all__ = ["__version__"]
