"""Pictures of what a model answers: colours over the image, outlines, names and a legend."""

from modelscope_vitadapter.visualization.fonts import find_font
from modelscope_vitadapter.visualization.overlay import color_map, draw, draw_result

__all__ = ["color_map", "draw", "draw_result", "find_font"]
