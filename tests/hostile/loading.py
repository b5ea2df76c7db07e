"""Loads one model directory the way a user does, and says what came of it."""

import hashlib
import logging
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from modelscope_vitadapter.errors import VitAdapterError
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.preprocessor import VitAdapterSegmentationPreprocessor
from tests.hostile.entries import CANARY, CANARY_MODULE
from tests.support.peak import peak, reset_peak

torch.set_num_threads(1)  # a process with more can't be forked safely

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@dataclass
class Outcome:
    """What came of loading a directory.

    Attributes:
        error: class of the error, None where it loaded.
        message: its text; a traceback where the error is not one of this package's.
        parts: how many arguments the error has.
        log: what was logged.
        answer: digest of the class map of `PICTURE`, None where it did not load.
        check: traceback of the entry's own check, where it failed.
        seconds: until it loaded or was refused.
        growth: bytes by which the peak of the process's memory grew meanwhile, None where unknown.
        ran: whether code of the directory ran.
    """

    error: str | None = None
    message: str = ""
    parts: int = 1
    log: str = ""
    answer: str | None = None
    check: str = ""
    seconds: float = 0.0
    growth: int | None = None
    ran: bool = False


def load(directory, check=None):
    """Load a directory, answer for a picture, and look for the canary."""
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = get_logger()
    logger.addHandler(handler)
    outcome = Outcome()
    before = reset_peak()
    start = time.monotonic()
    try:
        model = VitAdapterSemanticSegmentation(str(directory))
    except Exception as error:
        model = None
        outcome.error = type(error).__name__
        outcome.message = str(error)
        outcome.parts = len(error.args)
        if not isinstance(error, VitAdapterError):
            outcome.message = traceback.format_exc()
    finally:
        outcome.seconds = time.monotonic() - start
        after = peak()
        outcome.growth = None if after is None or before is None else max(after - before, 0)
        logger.removeHandler(handler)
    outcome.log = "\n".join(records)
    if model is not None:
        outcome.answer = answer_of(model)
        try:
            if check is not None:
                check(model)
        except Exception:
            outcome.check = traceback.format_exc()
    outcome.ran = (Path(directory) / CANARY).exists() or CANARY_MODULE in sys.modules
    return outcome


def answer_of(model):
    """A digest of the class map of `PICTURE`."""
    prepared = VitAdapterSegmentationPreprocessor(config=model.cfg)(PICTURE)
    (class_map,) = model.inference(prepared)
    return hashlib.sha256(np.ascontiguousarray(class_map).tobytes()).hexdigest()
