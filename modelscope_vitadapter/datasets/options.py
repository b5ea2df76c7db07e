"""How a dataset is to be read, where what is on disk does not tell."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from modelscope_vitadapter.errors import DataSetError


@dataclass(frozen=True)
class DataOptions:
    """Options of `open_dataset`, which are those of the command line too; None: not said."""

    layout: str | None = None
    """Name of a layout, see `layouts.registry.LAYOUTS`, where two fit or none is recognised."""
    list: Any = None
    """File with the names of the images that are used, or with an image and a label map a line."""
    pairs: Sequence[str] | None = None
    """Patterns of the images' and the label maps' paths: `("images/{}.jpg", "masks/{}_L.png")`."""
    label_ids: Any = None
    """What ids stand for, see `label_ids.parse_label_ids`; by default class ids."""
    ignore_ids: Any = None
    """Ids that are not counted, beside 255 where that is no class."""
    palette: Any = None
    """File that says which colour is which class, see `palettes.read_palette`."""
    classes: Sequence[str] | None = None
    """Names of the classes by id, in place of what files say."""
    exclude_classes: Any = None
    """Names or ids of classes whose pixels are not counted, and that have no metrics."""
    image_column: str | None = None
    """Of a table, the images' column; guessed by its name if None."""
    label_column: str | None = None
    """Of a table, the label maps' column; guessed by its name if None."""
    skip_missing: bool = False
    """Leave images without a label map out."""
    max_pixels: int | None = None
    exif: str = "apply"
    bands: Sequence[int] | None = None
    value_range: Sequence[float] | None = None
    """The last four: see `images.options.ReadOptions`."""


DATA_OPTIONS = frozenset(field.name for field in fields(DataOptions))


def data_options(given: dict[str, Any]) -> DataOptions:
    """Options by name; DataSetError for a name that is none."""
    unknown = sorted(set(given) - DATA_OPTIONS)
    if unknown:
        raise DataSetError(
            f"there is no option {unknown[0]!r} of a dataset: expected some of "
            f"{', '.join(sorted(DATA_OPTIONS))}"
        )
    return DataOptions(**given)
