"""The trainer that ModelScope builds for `vitadapter-segmentation-trainer`."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from modelscope.trainers.default_config import DEFAULT_HOOKS_CONFIG
from modelscope.utils.config import Config
from modelscope.utils.constant import DEFAULT_MODEL_REVISION, ModeKeys

from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.datasets.dataset import identity_of
from modelscope_vitadapter.distributed import (
    first_process_does,
    join_group,
    process_count,
)
from modelscope_vitadapter.errors import TrainingError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.registration import TRAINER, register
from modelscope_vitadapter.plugin.trainer.building import (
    apply_recipe,
    build_criterion,
    build_optimizer,
    build_recipe_schedule,
    count_parameters,
    default_hooks,
    distributed_network,
    own_batch_size,
    training_loader,
)
from modelscope_vitadapter.plugin.trainer.checkpoints import ExactLoadHook, latest_checkpoint
from modelscope_vitadapter.plugin.trainer.evaluating import draw_samples, evaluate_model
from modelscope_vitadapter.plugin.trainer.inputs import (
    InputOptions,
    open_inputs,
    own_device,
    require,
)
from modelscope_vitadapter.plugin.trainer.interrupts import StopRequest
from modelscope_vitadapter.plugin.trainer.loop import StepLoop
from modelscope_vitadapter.plugin.trainer.settings import FREE, RunSettings, split_options
from modelscope_vitadapter.segmenter import model_directory
from modelscope_vitadapter.training.batch_norm import share_batch_norms
from modelscope_vitadapter.training.batches import BatchLoader
from modelscope_vitadapter.training.freezing import freeze_parameters, parse_freeze
from modelscope_vitadapter.training.recipe import Recipe
from modelscope_vitadapter.training.training_network import TrainingNetwork

logger = get_logger()


@register(TRAINER)
class VitAdapterSegmentationTrainer(StepLoop):
    """Fine-tunes a ViT-Adapter segmentation model, or trains one from the start.

    `build_trainer("vitadapter-segmentation-trainer", default_args=dict(model=..., ...))`.

    Steps are counted, not epochs: an evaluation, a checkpoint or a stop may come in the middle of
    an epoch, and a run goes on from there exactly. Under `torchrun` all processes train together.

    Args:
        model: a model id, a model directory, or a model of this package.
        train_dataset: labelled pictures, see `datasets.open_dataset`.
        eval_dataset: the same, or None.
        train_split: which part of a folder, or of tables by split, is trained on.
        eval_split: the same for evaluation.
        work_dir: where checkpoints, logs and pictures are written.
        classes: names of the classes by id. By default those that the training data names
            (`classes.txt`), then the model's own. Parts of the head that don't fit start fresh.
        palette: `[R, G, B]` of each class.
        crop: height and width in pixels, a multiple of 32, of the windows that are trained on and
            tested with, and the scale of pictures with them; by default the model's own.
        from_scratch: start without the weights of `model`, of which only `mmcv_config.py` is then
            needed.
        beit: checkpoint of a BEiT backbone to start from.
        freeze: `nothing`, `beit` (adapter and head are trained) or `backbone` (the head is).
        recipe: fields of `training.recipe.Recipe` that shall be otherwise than in the paper.
        run: fields of `trainer.settings.RunSettings` but `work_dir`.
        data_options: arguments of `open_dataset` (`label_ids`, `image_column`, ...).
        check_data: read all pictures and label maps before training starts.
        adapter_form: see `VitAdapterSemanticSegmentation`.
        device: `gpu`, `cpu`, `cuda:N`; under torchrun `gpu` is the GPU of the process.
        **kwargs: of `EpochBasedTrainer`: `cfg_modify_fn`, `callbacks`, `model_revision`, and
            `max_epochs` and `seed`, which go into the recipe. Others are refused.

    Raises:
        DataSetError: a data set can't be used.
        ConfigError, CheckpointError, TrainingError, ValueError: see `open_inputs` and `Recipe`.
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
        recipe: Mapping[str, Any] | Recipe | None = None,
        run: Mapping[str, Any] | None = None,
        data_options: Mapping[str, Any] | None = None,
        check_data: bool = True,
        adapter_form: str | None = None,
        device: str = "gpu",
        **kwargs: Any,
    ) -> None:
        own, further = split_options(kwargs)
        given = recipe if isinstance(recipe, Recipe) else Recipe().changed(recipe or {})
        self.recipe = given.changed(own)
        self.run_settings = RunSettings(work_dir=Path(work_dir), **(run or {}))
        self.freeze = parse_freeze(freeze)
        self._adapter_form = adapter_form
        self._trusts = bool(further.get("trust_remote_code", False))
        place = own_device(device)
        join_group(on_gpu=place.type == "cuda")
        self._given = model if isinstance(model, VitAdapterSemanticSegmentation) else None
        options = InputOptions(
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            train_split=train_split,
            eval_split=eval_split,
            data_options=data_options or {},
            from_scratch=from_scratch,
            beit=beit,
            classes=classes,
            palette=palette,
            crop=crop,
            check_data=check_data,
            seed=self.recipe.seed,
            trust_remote_code=self._trusts,
        )
        source = self._find_directory(model, kwargs.get("model_revision", DEFAULT_MODEL_REVISION))
        self.inputs = open_inputs(source, self.run_settings.work_dir, options)
        self.stop_request, self._run_hooks = StopRequest(), []
        super().__init__(
            model=os.fspath(self.inputs.model_dir),
            work_dir=os.fspath(self.run_settings.work_dir),
            seed=self.recipe.seed,
            max_epochs=math.ceil(self.max_iters / self.iters_per_epoch),
            device=str(place),
            **further,
        )
        self.training_network = self._build_training_network()

    def _find_directory(
        self,
        model: str | os.PathLike[str] | VitAdapterSemanticSegmentation,
        revision: str,
    ) -> Path:
        """The directory of the model to start from; the first process downloads it."""
        if isinstance(model, VitAdapterSemanticSegmentation):
            return Path(model.model_dir)
        name = os.fspath(model)
        return Path(first_process_does(lambda: os.fspath(model_directory(name, revision))))

    def _build_training_network(self) -> TrainingNetwork:
        """The model's network, arranged by the recipe, with the criterion of its configuration."""
        network = self.model.model
        apply_recipe(network, self.recipe)
        freeze_parameters(network, self.freeze)
        criterion = build_criterion(self.model).to(self.device)
        dtype = getattr(torch, self.recipe.dtype)
        return TrainingNetwork(network, criterion, freeze=self.freeze, dtype=dtype)

    def get_or_download_model_dir(self, model: str, *args: Any, **kwargs: Any) -> str:
        """The directory of a model; a local one is taken as it is, without asking the hub."""
        if Path(model).is_dir():
            return model
        directory: str = super().get_or_download_model_dir(model, *args, **kwargs)
        return directory

    def rebuild_config(self, cfg: Config) -> Config:
        """Takes ModelScope's default hooks out, for the run has its own; then the caller's turn."""
        if cfg.train.hooks == DEFAULT_HOOKS_CONFIG["train.hooks"]:
            cfg.train.hooks = []
        changed: Config = super().rebuild_config(cfg)
        return changed

    def build_model(self) -> VitAdapterSemanticSegmentation:
        """The model to start from."""
        if self._given is not None:
            if Path(self._given.model_dir) != self.inputs.model_dir:
                raise TrainingError(
                    "a model object can't be trained on other classes or another crop than its "
                    "own, or from another start: give its directory (save_pretrained writes one)"
                )
            return self._given
        return VitAdapterSemanticSegmentation(
            os.fspath(self.inputs.model_dir),
            adapter_form=self._adapter_form,
            trust_remote_code=self._trusts,
        )

    def get_preprocessors(self, preprocessor: Any) -> tuple[None, None]:
        """None: data sets are read by this package's own code."""
        return None, None

    def build_dataset(self, datasets: Any, model_cfg: Any, mode: str, **kwargs: Any) -> Any:
        """The data sets as they were opened."""
        return self.inputs.training if mode == ModeKeys.TRAIN else self.inputs.evaluation

    @property
    def iters_per_epoch(self) -> int:
        """Steps of one pass over the training data."""
        if self.inputs.training is None:
            return 1
        batch = own_batch_size(self.recipe) * process_count()
        return max(len(self.inputs.training) // batch, 1)

    @property
    def max_iters(self) -> int:
        """Steps of the whole run."""
        if self.recipe.max_epochs is not None:
            return self.recipe.max_epochs * self.iters_per_epoch
        return self.recipe.max_iters

    def get_train_dataloader(self) -> BatchLoader:
        """The loader of this process's batches."""
        return training_loader(
            self.model,
            require(self.inputs.training, "training"),
            self.recipe,
            workers=self.run_settings.workers,
            pin_memory=self.device.type == "cuda",
        )

    def train(self, checkpoint_path: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Trains; arguments as `EpochBasedTrainer.train`.

        Raises:
            TrainingError: the run's directory has checkpoints, and none is given to go on from.
        """
        folder = self.run_settings.work_dir
        if checkpoint_path is None and latest_checkpoint(folder) is not None:
            raise TrainingError(
                f"'{folder}' has checkpoints of another run: go on from one of them "
                "(train(checkpoint_path=...), --resume), or give another work_dir (--output)"
            )
        self.stop_request.asked = self._stop_training = False
        super().train(checkpoint_path, *args, **kwargs)

    def identity(self) -> dict[str, Any]:
        """What must not change when a run goes on."""
        fixed = {name: value for name, value in asdict(self.recipe).items() if name not in FREE}
        return {
            **fixed,
            "data set": identity_of(require(self.inputs.training, "training")),
            "classes": list(self.model.CLASSES),
            "freeze": self.freeze.value,
            "crop": self.model.windows.crop_size,
            "adapter form": parse_adapter_form(self._adapter_form).value,
        }

    def register_optimizers_hook(self) -> None:
        """Makes optimiser and schedule, and registers the run's hooks."""
        for hook in self._run_hooks:
            self.hooks.remove(hook)
        network = self.model.to(self.device).model
        if process_count() > 1 and self.recipe.sync_batch_norm:
            share_batch_norms(network)
        self.optimizer = build_optimizer(network, self.recipe)
        self.lr_scheduler = build_recipe_schedule(self.optimizer, self.recipe, self.max_iters)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.recipe.dtype == "float16")
        self._run_hooks = default_hooks(
            self.run_settings,
            self.recipe,
            max_iters=self.max_iters,
            has_evaluation_set=self.inputs.evaluation is not None,
            scaler=self.scaler,
        )
        for hook in self._run_hooks:
            self.register_hook(hook)
        trained, total = count_parameters(network)
        logger.info("%d of %d parameters are trained", trained, total)
        self._stepping = distributed_network(self.training_network, self.device, self.recipe)

    def set_checkpoint_file_to_hook(
        self, checkpoint_path: str | None, load_all_state: bool, strict: bool
    ) -> None:
        """Registers the hook that loads a checkpoint when training begins."""
        if checkpoint_path is not None:
            hook = ExactLoadHook()
            hook.checkpoint_file = os.fspath(checkpoint_path)
            hook.load_all_state = load_all_state
            self._run_hooks.append(hook)
            self.register_hook(hook)

    def evaluate(self, checkpoint_path: str | None = None, **kwargs: Any) -> dict[str, float]:
        """Measures the model on the evaluation set.

        Args:
            checkpoint_path: a checkpoint of this trainer to load before.
            **kwargs: ModelScope's other arguments; they have no effect.

        Returns:
            `mIoU`, `aAcc` and `mAcc`, 0 to 1.
        """
        pictures = require(self.inputs.evaluation, "evaluation")
        if checkpoint_path is not None:
            ExactLoadHook.load_checkpoint(os.fspath(checkpoint_path), self, load_all_state=False)
        self.model.to(self.device).eval()
        self._mode = ModeKeys.EVAL
        self._metric_values = evaluate_model(self.model, pictures)
        drawn = draw_samples(self.model, pictures, self.run_settings, step=self._iter + 1)
        self.visualization_buffer.output.update(drawn)
        return self._metric_values
