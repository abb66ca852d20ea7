"""Rows of the series functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spark_kusto.kql.algorithms import (
    series,
    series_decomposition,
    series_filters,
    series_fitting,
)
from spark_kusto.kql.registry import (
    BOOL,
    DYNAMIC,
    INT,
    LONG,
    NUMBER,
    REAL,
    STRING,
    ParameterLike,
    optional,
    parameter,
    python_scalar,
    repeated,
)
from spark_kusto.types import KustoType

_OPERAND = frozenset({DYNAMIC}) | NUMBER


def _several(
    name: str,
    parameters: Sequence[ParameterLike],
    columns: Sequence[tuple[str, KustoType]],
    function: Callable[..., Any],
    *,
    calls_on_null: bool = False,
    difference: str = "",
) -> None:
    """A function whose values are the items of the list that ``function`` returns."""
    python_scalar(
        name,
        parameters,
        DYNAMIC,
        function,
        calls_on_null=calls_on_null,
        difference=difference,
        fields=[(f"{name}_{{0}}_{suffix}", kind) for suffix, kind in columns],
    )


def _columns(names: tuple[str, ...], **kinds: KustoType) -> list[tuple[str, KustoType]]:
    return [(name, kinds.get(name, REAL)) for name in names]


for _name in series.UNARY:
    python_scalar(
        f"series_{_name}",
        [parameter(DYNAMIC, "series")],
        DYNAMIC,
        partial(series.unary, _name),
    )

for _name in series.BINARY:
    python_scalar(
        f"series_{_name}",
        [parameter(_OPERAND, "series1"), parameter(_OPERAND, "series2")],
        DYNAMIC,
        partial(series.binary, _name),
    )

python_scalar(
    "series_dot_product",
    [parameter(_OPERAND, "series1"), parameter(_OPERAND, "series2")],
    REAL,
    series.dot_product,
)
python_scalar(
    "series_pearson_correlation",
    [parameter(DYNAMIC, "series1"), parameter(DYNAMIC, "series2")],
    REAL,
    series.pearson_correlation,
)
python_scalar(
    "series_cosine_similarity",
    [
        parameter(DYNAMIC, "series1"),
        parameter(DYNAMIC, "series2"),
        optional(REAL, None, "magnitude1"),
        optional(REAL, None, "magnitude2"),
    ],
    REAL,
    series.cosine_similarity,
    calls_on_null=True,
)
python_scalar("series_sum", [parameter(DYNAMIC, "series")], REAL, series.total)
python_scalar("series_product", [parameter(DYNAMIC, "series")], REAL, series.product)
python_scalar("series_magnitude", [parameter(DYNAMIC, "series")], REAL, series.magnitude)

python_scalar(
    "series_fill_const",
    [
        parameter(DYNAMIC, "series"),
        optional(NUMBER, 0, "constant"),
        optional(NUMBER, None, "missing"),
    ],
    DYNAMIC,
    series.fill_const,
    calls_on_null=True,
    column="{0}",
)
for _name, _fill in (
    ("series_fill_forward", series.fill_forward),
    ("series_fill_backward", series.fill_backward),
):
    python_scalar(
        _name,
        [parameter(DYNAMIC, "series"), optional(NUMBER, None, "missing")],
        DYNAMIC,
        _fill,
        calls_on_null=True,
        column="{0}",
    )
python_scalar(
    "series_fill_linear",
    [
        parameter(DYNAMIC, "series"),
        optional(NUMBER, None, "missing"),
        optional(BOOL, True, "fill_edges"),
        optional(NUMBER, 0.0, "constant"),
    ],
    DYNAMIC,
    series.fill_linear,
    calls_on_null=True,
    column="{0}",
)

python_scalar(
    "series_fir",
    [
        parameter(DYNAMIC, "series"),
        parameter(DYNAMIC, "filter"),
        optional(BOOL, None, "normalize"),
        optional(BOOL, False, "center"),
    ],
    DYNAMIC,
    series_filters.fir,
    calls_on_null=True,
    column="{0}",
)
python_scalar(
    "series_iir",
    [
        parameter(DYNAMIC, "series"),
        parameter(DYNAMIC, "numerators"),
        parameter(DYNAMIC, "denominators"),
    ],
    DYNAMIC,
    series_filters.iir,
    column="{0}",
)
for _name, _inverse in (("series_fft", False), ("series_ifft", True)):
    _several(
        _name,
        [parameter(DYNAMIC, "x_real"), optional(DYNAMIC, None, "x_imaginary")],
        [("real", DYNAMIC), ("imag", DYNAMIC)],
        partial(series_filters.fourier, inverse=_inverse),
        calls_on_null=True,
    )

_several(
    "series_stats",
    [parameter(DYNAMIC, "series"), optional(BOOL, False, "ignore_nonfinite")],
    _columns(series.STATS, min_idx=LONG, max_idx=LONG),
    series.stats,
)
python_scalar(
    "series_stats_dynamic",
    [parameter(DYNAMIC, "series"), optional(BOOL, False, "ignore_nonfinite")],
    DYNAMIC,
    series.stats_dynamic,
)

_several(
    "series_fit_line",
    [parameter(DYNAMIC, "series")],
    _columns(series_fitting.LINE, line_fit=DYNAMIC),
    series_fitting.fit_line,
)
python_scalar(
    "series_fit_line_dynamic",
    [parameter(DYNAMIC, "series")],
    DYNAMIC,
    series_fitting.fit_line_dynamic,
)
_several(
    "series_fit_2lines",
    [parameter(DYNAMIC, "series")],
    _columns(series_fitting.TWO_LINES, split_idx=LONG, line_fit=DYNAMIC),
    series_fitting.fit_2lines,
)
python_scalar(
    "series_fit_2lines_dynamic",
    [parameter(DYNAMIC, "series")],
    DYNAMIC,
    series_fitting.fit_2lines_dynamic,
)
_several(
    "series_fit_poly",
    [
        parameter(DYNAMIC, "y_series"),
        optional(DYNAMIC, None, "x_series"),
        optional(INT, 1, "degree"),
    ],
    _columns(series_fitting.POLYNOMIAL, coefficients=DYNAMIC, poly_fit=DYNAMIC),
    series_fitting.fit_poly,
    calls_on_null=True,
)

_SCORES = "Scores of periods come near Kusto's, which doesn't publish how it computes them."

_several(
    "series_periods_detect",
    [
        parameter(DYNAMIC, "series"),
        parameter(REAL, "min_period"),
        parameter(REAL, "max_period"),
        parameter(LONG, "num_periods"),
    ],
    [("periods", DYNAMIC), ("scores", DYNAMIC)],
    series_decomposition.periods_detect,
    difference=_SCORES,
)
_several(
    "series_periods_validate",
    [parameter(DYNAMIC, "series"), parameter(REAL, "period"), repeated(REAL, "period")],
    [("periods", DYNAMIC), ("scores", DYNAMIC)],
    series_decomposition.periods_validate,
    difference=_SCORES,
)
python_scalar(
    "series_seasonal",
    [parameter(DYNAMIC, "series"), optional(LONG, -1, "period"), optional(LONG, 0, "test_points")],
    DYNAMIC,
    series_decomposition.seasonal,
    difference=_SCORES,
)
python_scalar(
    "series_outliers",
    [
        parameter(DYNAMIC, "series"),
        optional(STRING, "ctukey", "kind"),
        optional(REAL, None, "ignore_val"),
        optional(REAL, 10.0, "min_percentile"),
        optional(REAL, 90.0, "max_percentile"),
        optional(LONG, 0, "test_points"),
    ],
    DYNAMIC,
    series_decomposition.outliers,
    calls_on_null=True,
    column="{0}",
    difference="The scale of `ctukey` scores isn't published; here 1.5 is Tukey's fence for normal values.",
)

_DECOMPOSING = (
    parameter(DYNAMIC, "series"),
    optional(LONG, -1, "seasonality"),
    optional(STRING, "avg", "trend"),
    optional(LONG, 0, "test_points"),
    optional(REAL, 0.6, "seasonality_threshold"),
)
_several(
    "series_decompose",
    _DECOMPOSING,
    _columns(
        series_decomposition.DECOMPOSITION, **dict.fromkeys(series_decomposition.DECOMPOSITION, DYNAMIC)
    ),
    series_decomposition.decompose,
    calls_on_null=True,
    difference=_SCORES,
)
python_scalar(
    "series_decompose_forecast",
    [
        parameter(DYNAMIC, "series"),
        parameter(LONG, "points"),
        optional(LONG, -1, "seasonality"),
        optional(STRING, "avg", "trend"),
        optional(REAL, 0.6, "seasonality_threshold"),
    ],
    DYNAMIC,
    series_decomposition.decompose_forecast,
    difference=_SCORES,
)
_several(
    "series_decompose_anomalies",
    [
        parameter(DYNAMIC, "series"),
        optional(REAL, 1.5, "threshold"),
        optional(LONG, -1, "seasonality"),
        optional(STRING, "avg", "trend"),
        optional(LONG, 0, "test_points"),
        optional(STRING, "ctukey", "method"),
        optional(REAL, 0.6, "seasonality_threshold"),
    ],
    [(name, DYNAMIC) for name in series_decomposition.ANOMALIES],
    series_decomposition.decompose_anomalies,
    calls_on_null=True,
    difference=_SCORES,
)
