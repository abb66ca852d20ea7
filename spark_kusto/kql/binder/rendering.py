"""Properties of ``render``, in the spelling of Kusto's visualization annotation."""

from __future__ import annotations

from typing import Any

from spark_kusto.kql import syntax

_SPELLING = {
    "title": "Title",
    "xtitle": "XTitle",
    "ytitle": "YTitle",
    "xcolumn": "XColumn",
    "ycolumns": "YColumns",
    "series": "Series",
    "anomalycolumns": "AnomalyColumns",
    "xaxis": "XAxis",
    "yaxis": "YAxis",
    "ysplit": "YSplit",
    "legend": "Legend",
    "accumulate": "Accumulate",
    "kind": "Kind",
    "ymin": "Ymin",
    "ymax": "Ymax",
    "xmin": "Xmin",
    "xmax": "Xmax",
}


def _value(node: syntax.Expression) -> Any:
    if isinstance(node, syntax.Literal):
        return node.value
    if isinstance(node, syntax.Name):
        return node.name
    return getattr(node, "pattern", None)


def visualization_of(node: syntax.Render) -> dict[str, Any]:
    """The annotation that clients draw by."""
    shown: dict[str, Any] = {"Visualization": node.visualization}
    for entry in node.properties:
        values = [_value(value) for value in entry.values]
        key = _SPELLING.get(entry.name.lower(), entry.name)
        if len(values) > 1 or key in ("YColumns", "Series", "AnomalyColumns"):
            shown[key] = [str(value) for value in values]
        else:
            shown[key] = values[0] if values else None
    return shown
