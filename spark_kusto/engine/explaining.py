"""A query's plan as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spark_kusto.engine.querying import Prepared
from spark_kusto.kql.compiled import EachStage, PythonStage, SqlStage, Stage


def explain(prepared: Prepared) -> str:
    """What a prepared query scans, after pruning, and the SQL of its stages."""
    lines: list[str] = []
    query = prepared.query
    for stage, group in _in_order(query.stages):
        if isinstance(stage, PythonStage):
            lines.append(f"{stage.id}: {stage.operator}({', '.join(stage.inputs)}) in Python{group}")
            continue
        if isinstance(stage, EachStage):
            read = ", ".join(rows.input for rows in stage.rows)
            lines.append(f"{stage.id}: {stage.result} for each {stage.key} of {stage.groups}, over {read}")
            continue
        lines.append(f"{stage.id}: SQL" + (", row by row" if query.row_wise else group))
        lines += _scans(stage, prepared)
        lines += [f"    {line}" for line in stage.sql.splitlines()]
        if stage.parameters:
            lines.append(f"    parameters: {', '.join(f'${name}' for name in stage.parameters)}")
        if stage.python_functions:
            names = sorted({function.name for function in stage.python_functions})
            lines.append(f"    in Python: {', '.join(names)}")
    for result in query.results:
        columns = ", ".join(f"{column.name}:{column.type.value}" for column in result.columns)
        lines.append(f"{result.name} <- {result.stage_id}: {columns}")
    lines.append(f"cursor {prepared.cursor}")
    return "\n".join(lines)


def _in_order(stages: Iterable[Stage], group: str = "") -> Iterator[tuple[Stage, str]]:
    """All stages, those that run for each group before what runs them."""
    for stage in stages:
        if isinstance(stage, EachStage):
            yield from _in_order(stage.stages, f", for each group of {stage.id}")
        yield stage, group


def _scans(stage: SqlStage, prepared: Prepared) -> list[str]:
    lines = []
    for scan in stage.scans:
        source = prepared.sources[scan.id]
        rows = sum(file.rows for file in source.files)
        size = sum(file.size for file in source.files)
        columns = ", ".join(column.name for column in scan.columns) or "no columns"
        lines.append(
            f"  {scan.id}: {scan.database}.{scan.table} ({columns}), "
            f"{len(source.files)} of {source.total} extents, {rows} rows, {size} bytes"
        )
        lines += [
            f"    where {predicate.column} {predicate.operator} {predicate.value!r}"
            for predicate in scan.predicates
        ]
    return lines
