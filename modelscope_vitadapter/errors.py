"""What this package raises.

Each error is also the standard class that callers catch (`ValueError`, `TypeError`,
`FileNotFoundError`). Each takes one string, since ModelScope's registry raises errors anew as
`type(error)(message)`.
"""


class VitAdapterError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(VitAdapterError, ValueError):
    """`mmcv_config.py` holds something that cannot be read or cannot be honoured."""


class UnreadableConfigError(ConfigError):
    """A value of `mmcv_config.py` that is needed can't be evaluated as data.

    The one refusal that `trust_remote_code=True` lifts, by executing the file.
    """


class ConfigNotFoundError(ConfigError, FileNotFoundError):
    """A model directory has no `mmcv_config.py`, or a `_base_` file is missing."""


class CheckpointError(VitAdapterError, ValueError):
    """A checkpoint cannot be read or does not fit the network."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """A model directory holds no checkpoint file."""


class ImageError(VitAdapterError, ValueError):
    """An input cannot be taken as an image."""


class ImageTypeError(ImageError, TypeError):
    """An input is of a type that holds no image."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """An image file does not exist."""


class ImageMemoryError(ImageError, MemoryError):
    """A picture, or what is made of it, does not fit into the memory that is free."""


class DataSetError(VitAdapterError, ValueError):
    """A data set for evaluation or fine-tuning can't be used as it is."""


class DataSetNotFoundError(DataSetError, FileNotFoundError):
    """A file or folder of a data set does not exist."""


class TrainingError(VitAdapterError, RuntimeError):
    """Fine-tuning can't start, or can't go on."""


class NotFiniteLossError(TrainingError, FloatingPointError):
    """The loss became NaN or infinite."""
