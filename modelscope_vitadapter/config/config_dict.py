"""The dictionary with attribute access that `model.cfg` is made of."""

from __future__ import annotations

from typing import Any, NoReturn

from addict import Dict


class ConfigDict(Dict):  # type: ignore[misc]  # addict is untyped
    """An `addict.Dict` in which a missing name is an error, as in mmcv's `Config`.

    Dictionaries inside it, also those in lists and tuples, become `ConfigDict`s. It can be pickled
    and copied. `cfg['name']` raises `KeyError` and `cfg.name` `AttributeError` where there is none.
    """

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no {name!r}") from None
