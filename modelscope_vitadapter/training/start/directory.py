"""Makes the model directory that a training run starts from."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint, save_model_directory
from modelscope_vitadapter.config.model_config import CONFIG_FILE, load_model_config
from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.errors import TrainingError
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.plugin.registration import default_configuration
from modelscope_vitadapter.training.initialisation import initialise
from modelscope_vitadapter.training.start.config import Palette, config_for_classes, config_text
from modelscope_vitadapter.training.start.crop import check_crop, config_for_crop
from modelscope_vitadapter.training.start.weights import (
    fill_from_beit,
    fill_from_model,
    log_filled,
)

CONFIGURATION_FILE = "configuration.json"


@dataclass(frozen=True)
class StartPoint:
    """Where weights come from.

    Attributes:
        model_dir: directory with the `mmcv_config.py` of the network.
        use_weights: take the weights of that directory's checkpoint as far as they fit.
        beit: checkpoint of a BEiT backbone, which goes before the directory's weights.
        classes: names by id; None for the directory's own.
        palette: `[R, G, B]` of each class, 0 to 255; None for the directory's own, or, for new
            classes, generated ones.
        crop: height and width in pixels of the windows that are trained on and tested with, see
            `config_for_crop`; None for the directory's own. Position biases are resized to it.
    """

    model_dir: Path
    use_weights: bool = True
    beit: Path | None = None
    classes: Sequence[str] | None = None
    palette: Palette | None = None
    crop: int | None = None


def prepare_start(start: StartPoint, target: Path, *, trust_remote_code: bool = False) -> Path:
    """A model directory with the classes and weights that training starts from.

    Args:
        start: what it is made of.
        target: where it is written, if it has to be.
        trust_remote_code: see `load_model_config`.

    Returns:
        `start.model_dir` itself where it is all that is asked for, otherwise `target`, written
        whole or not at all.

    Raises:
        ConfigError: the configuration can't be read, or doesn't fit the classes or the crop.
        CheckpointError: a checkpoint can't be read, or belongs to another network.
        TrainingError: class names are missing or given twice.
        ValueError: the crop is no multiple of 32.
    """
    if start.crop is not None:
        check_crop(start.crop)
    loaded = load_model_config(start.model_dir, trust_remote_code=trust_remote_code)
    own = list(loaded.classes)
    classes = own if start.classes is None else list(start.classes)
    _check_names(classes)
    windows, trained = loaded.settings.windows, loaded.settings.backbone
    own_crop = windows.crop_size == trained.img_size == (start.crop, start.crop)
    same = classes == own and start.palette is None and (start.crop is None or own_crop)
    complete = (start.model_dir / CONFIGURATION_FILE).is_file()
    if same and start.use_weights and start.beit is None and complete:
        find_checkpoint(start.model_dir)
        return start.model_dir
    palette = start.palette
    if palette is None and classes == own:
        palette = loaded.palette[: len(own)]
    config = config_for_classes(loaded.config, classes, palette)
    if start.crop is not None:
        config = config_for_crop(config, windows, start.crop)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        (source / CONFIG_FILE).write_text(config_text(config), encoding="utf-8")
        settings = load_model_config(source).settings
        network = build_network(settings, adapter_form=AdapterForm.BUILTIN)
        initialise(network)
        grid = settings.backbone.grid
        if start.use_weights:
            checkpoint = find_checkpoint(start.model_dir)
            log_filled(fill_from_model(network, checkpoint, trained.grid, grid), checkpoint)
        if start.beit is not None:
            log_filled(fill_from_beit(network, start.beit, grid), start.beit)
        save_model_directory(
            network.state_dict(),
            source,
            target,
            write_configuration=lambda staging: _write_configuration(start.model_dir, staging),
        )
    return target


def _check_names(classes: Sequence[str]) -> None:
    if not classes:
        raise TrainingError("no class is given: expected the names of one class or more")
    doubled = sorted({name for name in classes if classes.count(name) > 1})
    if doubled:
        raise TrainingError(
            f"the class name {doubled[0]!r} is given {classes.count(doubled[0])} times: results "
            "are told apart by their names, expected each once"
        )


def _write_configuration(source: Path, staging: Path) -> None:
    own = source / CONFIGURATION_FILE
    if own.is_file():
        shutil.copyfile(own, staging / CONFIGURATION_FILE)
    else:
        text = json.dumps(default_configuration(), indent=2)
        (staging / CONFIGURATION_FILE).write_text(text + "\n", encoding="utf-8")
