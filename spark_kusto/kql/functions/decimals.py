"""Arithmetic of decimals that SQL's own cannot do: it overflows, or turns to floating point.

Results are computed with 34 digits, as Kusto's decimals have, and kept with 18 after the point.
What has more than 20 digits before the point is an error, never a rounded value.
"""

from __future__ import annotations

from decimal import Context, Decimal

from spark_kusto.errors import TypeConversionError
from spark_kusto.kql.registry import DECIMAL, python_scalar

_CONTEXT = Context(prec=34)
_WIDE = Context(prec=60)
_STEP = Decimal(1).scaleb(-18)
_LIMIT = Decimal(10) ** 20


def stored(value: Decimal) -> Decimal:
    """The value as storage keeps it.

    Raises:
        TypeConversionError: it has more than 20 digits before the point.
    """
    if abs(value) >= _LIMIT:
        raise TypeConversionError(
            f"The decimal {value} has more than 20 digits before the point.",
            remedy="Convert to real (toreal) for magnitudes like this.",
        )
    return _WIDE.quantize(value, _STEP)


def _multiply(left: Decimal, right: Decimal) -> Decimal:
    return stored(_CONTEXT.multiply(left, right))


def _divide(left: Decimal, right: Decimal) -> Decimal | None:
    return None if right == 0 else stored(_CONTEXT.divide(left, right))


def _modulo(left: Decimal, right: Decimal) -> Decimal | None:
    """Never negative, as Kusto's modulo of numbers is."""
    if right == 0:
        return None
    rest = _CONTEXT.remainder(left, right)
    return stored(_CONTEXT.add(rest, abs(right)) if rest < 0 else rest)


python_scalar("$decimal_multiply", [DECIMAL, DECIMAL], DECIMAL, _multiply)
python_scalar("$decimal_divide", [DECIMAL, DECIMAL], DECIMAL, _divide)
python_scalar("$decimal_modulo", [DECIMAL, DECIMAL], DECIMAL, _modulo)
