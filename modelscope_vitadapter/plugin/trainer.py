"""The trainer that ModelScope builds for `vitadapter-segmentation-trainer`."""

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from modelscope.trainers.default_config import DEFAULT_HOOKS_CONFIG
from modelscope.utils.config import Config
from modelscope.utils.constant import DEFAULT_MODEL_REVISION, ModeKeys, ModelFile

from modelscope_vitadapter.config.criterion import parse_criterion
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.datasets.check import check_dataset
from modelscope_vitadapter.datasets.dataset import classes_of, identity_of
from modelscope_vitadapter.distributed import (
    first_process_does,
    join_group,
    process_count,
    process_index,
)
from modelscope_vitadapter.errors import ConfigError, TrainingError
from modelscope_vitadapter.interrupts import StopRequest
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.registration import TRAINER, register
from modelscope_vitadapter.plugin.train_arguments import (
    HANDED_ON,
    check_divisible,
    dataset_options,
    opened,
    own_device,
)
from modelscope_vitadapter.plugin.train_checkpoints import load_checkpoint, load_weights
from modelscope_vitadapter.plugin.train_log import logged_to
from modelscope_vitadapter.plugin.train_loop import StepLoop, run_hooks
from modelscope_vitadapter.segmenter import model_directory
from modelscope_vitadapter.training.augmentation import Augmentation
from modelscope_vitadapter.training.class_weights import ClassWeights, weights_of
from modelscope_vitadapter.training.config_changes import changed_config, config_text
from modelscope_vitadapter.training.evaluating import evaluate_segmenter
from modelscope_vitadapter.training.initialize import initialize
from modelscope_vitadapter.training.loader import AugmentedBatches, BatchLoader
from modelscope_vitadapter.training.train_config import (
    FREEZE,
    TrainConfig,
    check,
    check_free,
)
from modelscope_vitadapter.training.train_step import TrainStep

STOPPING = "Stopping after this step, with a checkpoint; again: at once."


@register(TRAINER)
class VitAdapterSegmentationTrainer(StepLoop):
    """Fine-tunes a ViT-Adapter segmentation model, or trains one from the start.

    `build_trainer("vitadapter-segmentation-trainer", default_args=dict(model=..., ...))`.

    Steps are counted, not epochs: an evaluation, a checkpoint or a stop may come in the middle of
    an epoch, and a run goes on from there exactly. Under `torchrun` all processes train together.

    Args:
        model: a model id, a model directory, or a model of this package.
        train_dataset, eval_dataset: with labels, see `datasets.open_dataset.open_dataset`.
        train_split, eval_split: which parts of them are used, where they have parts.
        work_dir: where checkpoints, logs and sample images are written; nothing before `train`.
        classes, crop, palette: see `changed_config`. Names are by default those that the training
            data has (`classes.txt`). Parts of the head that don't fit start fresh.
        from_scratch: of `model` only `mmcv_config.py` is used.
        beit: checkpoint of a BEiT backbone to start from.
        class_weights: of the classes in the loss, see `ClassWeights`; by default the model's.
        freeze: `nothing`, `beit` (adapter and head are trained) or `backbone` (the head is).
        recipe, run: fields of `TrainConfig` that shall be otherwise; the latter say how often a run
            reports, evaluates and saves, and its workers.
        data_options: arguments of `open_dataset` (`label_ids`, `image_column`, ...), which may also
            be given as keywords.
        eval_data_options: those of them that are others for `eval_dataset`; a `list` is of the
            training data only, unless it is here too.
        check_data: read all images and label maps before training starts.
        adapter_form, trust_remote_code: see `VitAdapterSemanticSegmentation`.
        device: `gpu`, `cpu`, `cuda:N`; under torchrun `gpu` is the GPU of the process.
        max_epochs, seed: of the recipe.
        model_revision: of a model id.
        **kwargs: `HANDED_ON`, for `EpochBasedTrainer`.

    Raises:
        TypeError: an argument is unknown. Other errors are those of `open_dataset`,
            `check_dataset`, `changed_config`, `initialize` and `TrainConfig`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | VitAdapterSemanticSegmentation,
        *,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        train_split: str | None = "train",
        eval_split: str | None = "val",
        work_dir: str | os.PathLike[str] = "work_dir",
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        crop: int | None = None,
        from_scratch: bool = False,
        beit: str | os.PathLike[str] | None = None,
        freeze: str | None = None,
        class_weights: ClassWeights | None = None,
        recipe: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
        data_options: Mapping[str, Any] | None = None,
        eval_data_options: Mapping[str, Any] | None = None,
        check_data: bool = True,
        adapter_form: str | None = None,
        device: str = "gpu",
        max_epochs: int | None = None,
        seed: int | None = None,
        model_revision: str = DEFAULT_MODEL_REVISION,
        trust_remote_code: bool = False,
        **kwargs: Any,
    ) -> None:
        options = dataset_options(data_options or {}, kwargs)
        given = {"max_epochs": max_epochs, "seed": seed}
        given = {name: value for name, value in given.items() if value is not None}
        config = TrainConfig().changed("recipe", {**(recipe or {}), **given})
        self.train_config = config.changed("run", run or {})
        self.freeze, self.adapter_form = freeze or "nothing", parse_adapter_form(adapter_form)
        check("freeze", self.freeze, FREEZE)
        self.stop_request = StopRequest(STOPPING)
        place = own_device(device)
        join_group(on_gpu=place.type == "cuda")
        check_divisible(self.train_config)
        self.train_dataset: Any = opened(train_dataset, train_split, options)
        options = {**options, "list": None, **(eval_data_options or {})}
        self.eval_dataset: Any = opened(eval_dataset, eval_split, options, for_evaluation=True)
        if classes is None and self.train_dataset is not None:
            classes = classes_of(self.train_dataset)
        if isinstance(model, VitAdapterSemanticSegmentation):
            directory, source = Path(model.model_dir), model.segmenter.config
        else:
            directory = first_process_does(partial(model_directory, model, model_revision))
            source = load_model_config(directory, trust_remote_code=trust_remote_code)
        changed = changed_config(source, classes=classes, palette=palette, crop=crop)
        for dataset in (self.train_dataset, self.eval_dataset):
            if check_data and dataset is not None:
                strict, count = dataset is self.train_dataset, len(changed.classes)
                first_process_does(partial(check_dataset, dataset, count, strict=strict))
        if not isinstance(model, VitAdapterSemanticSegmentation):
            segmenter = initialize(
                directory,
                source,
                changed,
                from_scratch=from_scratch,
                beit=None if beit is None else Path(beit),
                adapter_form=self.adapter_form,
                seed=self.train_config.seed,
            )
            text = None if changed is source else config_text(changed)
            model = VitAdapterSemanticSegmentation(directory, segmenter=segmenter, config_text=text)
        elif changed is not source or from_scratch or beit is not None:
            raise TrainingError(
                "a model object can't be trained on other classes or another crop than its own, or "
                "from another start: give its directory (save_pretrained writes one)"
            )
        self._start = model
        self._criterion = parse_criterion(model.cfg, model.num_classes)
        self.class_weights = None
        if class_weights is not None:
            self.class_weights = weights_of(class_weights, model.CLASSES)
            given_and_none = (*self.class_weights, self._criterion.class_weight[-1])
            self._criterion = replace(self._criterion, class_weight=given_and_none)
        self._init_modelscope(
            work_dir=os.fspath(work_dir),
            device=str(place),
            trust_remote_code=trust_remote_code,
            **{name: kwargs[name] for name in HANDED_ON if name in kwargs},
        )

    def _init_modelscope(self, **options: Any) -> None:
        """Makes this a trainer of ModelScope, with the run's hooks behind its callbacks."""
        with tempfile.TemporaryDirectory() as folder:  # the model's directory may lack the file
            file = Path(folder) / ModelFile.CONFIGURATION
            file.write_text(json.dumps(self._start.configuration()), encoding="utf-8")
            log = Path(folder) / "log"  # work_dir may be another run's
            with logged_to(log):
                super().__init__(
                    model=self._start.model_dir,
                    cfg_file=str(file),
                    train_dataset=self.train_dataset,
                    eval_dataset=self.eval_dataset,
                    seed=self.train_config.seed,
                    max_epochs=math.ceil(self.max_iters / self.iters_per_epoch),
                    **options,
                )
            self._log = log.read_text(encoding="utf-8") if log.is_file() else ""
        for hook in run_hooks(self.work_dir, self.train_config):
            self.register_hook(hook)

    def get_or_download_model_dir(self, model: str, *args: Any, **kwargs: Any) -> str:
        """The model's directory, which is there by now; ModelScope's own would ask the hub."""
        return model

    def rebuild_config(self, cfg: Config) -> Config:
        """Takes ModelScope's default hooks out, for the run has its own; then the caller's turn."""
        if cfg.train.hooks == DEFAULT_HOOKS_CONFIG["train.hooks"]:
            cfg.train.hooks = []
        changed: Config = super().rebuild_config(cfg)
        return changed

    def build_model(self) -> VitAdapterSemanticSegmentation:
        """The model to start from, which is made already."""
        return self._start

    def get_preprocessors(self, preprocessor: Any) -> tuple[None, None]:
        """None: datasets are read by this package's own code."""
        return None, None

    def build_dataset(self, datasets: Any, model_cfg: Any, mode: str, **kwargs: Any) -> Any:
        """The dataset as it was opened."""
        return datasets

    @property
    def iters_per_epoch(self) -> int:
        """Steps of one pass over the training data."""
        images = 0 if self.train_dataset is None else len(self.train_dataset)
        return max(images // self.train_config.batch_size, 1)

    @property
    def max_iters(self) -> int:
        """Steps of the whole run."""
        epochs = self.train_config.max_epochs
        return self.train_config.max_iters if epochs is None else epochs * self.iters_per_epoch

    def get_train_dataloader(self) -> BatchLoader:
        """The loader of this process's batches; ConfigError where no window says what to crop."""
        config, model = self.train_config, self.model
        crop = model.windows.crop_size
        if crop is None:
            raise ConfigError(
                "the model's test_cfg has mode 'whole' and no crop_size: training needs "
                "test_cfg=dict(mode='slide', crop_size=..., stride=...) to know what to crop to"
            )
        augmentation = Augmentation.of(config, model.segmenter.config.transform, crop)
        return BatchLoader(
            AugmentedBatches(self.train_dataset, augmentation, model.num_classes, config.seed),
            batch_size=config.batch_size,
            processes=process_count(),
            process=process_index(),
            workers=config.workers,
            timeout=config.worker_timeout,
            pin_memory=self.device.type == "cuda",
        )

    def train(self, checkpoint_path: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Trains; arguments as `EpochBasedTrainer.train`.

        Raises:
            TrainingError: there is nothing to train on, or the run's directory has checkpoints, of
                which none is given to go on from; or a worker failed.
            ConfigError, DataSetError: see `get_train_dataloader` and `BatchLoader`.
        """
        if self.train_dataset is None:
            raise TrainingError("there is no data set for training: give `train_dataset`")
        folder = Path(self.work_dir)
        check_free(folder, None if checkpoint_path is None else Path(checkpoint_path))
        self.stop_request.asked = self._stop_training = False
        begin, self._log = self._log, ""
        with logged_to(folder / f"{self.timestamp}.log", begin):
            super().train(checkpoint_path, *args, **kwargs)

    def register_optimizers_hook(self) -> None:
        """Makes what takes steps, with an optimiser and a schedule of its own."""
        self.stepping = TrainStep(
            self.model.to(self.device).model,
            self._criterion,
            self.train_config,
            max_iters=self.max_iters,
            freeze=self.freeze,
        )
        self.optimizer, self.lr_scheduler = self.stepping.optimizer, self.stepping.schedule

    def set_checkpoint_file_to_hook(
        self, checkpoint_path: str | None, load_all_state: bool, strict: bool
    ) -> None:
        """Loads the checkpoint that training goes on from; `strict` has no effect."""
        if checkpoint_path is not None:
            load = load_checkpoint if load_all_state else load_weights
            load(self, Path(checkpoint_path))

    @cached_property
    def _data_identity(self) -> str:
        return identity_of(self.train_dataset)  # which may look at every sample

    def identity(self) -> dict[str, Any]:
        """What must not change when a run goes on."""
        return {
            **self.train_config.fixed(),
            "data set": self._data_identity,
            "classes": list(self.model.CLASSES),
            "freeze": self.freeze,
            "crop": self.model.windows.crop_size,
            "adapter form": self.adapter_form.value,
            "class weights": self.class_weights,
        }

    def evaluate(self, checkpoint_path: str | None = None, **kwargs: Any) -> dict[str, float]:
        """`mIoU`, `aAcc` and `mAcc`, 0 to 1, of the model, or a checkpoint, on the evaluation set.

        Other arguments, which are ModelScope's, have no effect.
        """
        if self.eval_dataset is None:
            raise TrainingError("there is no data set for evaluation: give `eval_dataset`")
        if checkpoint_path is not None:
            load_weights(self, Path(checkpoint_path))
        self.model.to(self.device).eval()
        self._mode = ModeKeys.EVAL
        self._metric_values = evaluate_segmenter(self.model.segmenter, self.eval_dataset)
        return self._metric_values
