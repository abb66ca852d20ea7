"""Objects on their way to executors, which say so when a worker's Python lacks this package.

Spark pickles readers and writers by reference to this package. :func:`shipped` wraps that in a
function which travels by value, so that a worker without the package gets an error one can act on
instead of ``No module named 'spark_kusto'``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any


def _unpack(payload: bytes) -> Any:
    # Travels by value: it may use nothing of this module.
    import pickle
    import sys

    try:
        return pickle.loads(payload)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("spark_kusto", "pyarrow", "duckdb"):
            raise
        what = "spark-kusto" if missing == "spark_kusto" else missing
        raise RuntimeError(
            f"The Python of this Spark worker ({sys.executable}) has no package '{what}'. "
            "Install it there, or set PYSPARK_PYTHON to a Python that has it before the session starts."
        ) from None


# cloudpickle sends functions of __main__ by value, all others by name.
_unpack.__module__ = "__main__"


def _make(cls: Any, state: dict[str, Any]) -> Any:
    made = cls.__new__(cls)
    if hasattr(cls, "__setstate__"):
        made.__setstate__(state)
    else:
        made.__dict__.update(state)
    return made


def shipped(value: object, **other: Any) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
    """What ``__reduce__`` of a reader or writer returns; its state must pickle by itself.

    other: attributes that travel in place of the value's own.
    """
    return (_unpack, (pickle.dumps(_Shipment(type(value), {**value.__dict__, **other})),))


class _Shipment:
    def __init__(self, cls: type, state: dict[str, Any]) -> None:
        self._cls = cls
        self._state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return (_make, (self._cls, self._state))
