"""Plugins of user analytics: active users, retention, sessions, sliding counts, funnels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.algorithms import sequences, user_analytics
from spark_kusto.kql.functions.plugin_arguments import (
    Arguments,
    Timeline,
    answer,
    codes,
    repeated_rows,
    slices,
    without_nulls,
)
from spark_kusto.kql.registry import (
    BOOL,
    DATETIME,
    DYNAMIC,
    LONG,
    REAL,
    STRING,
    TIMESPAN,
    PluginArgument,
    PluginCall,
    plugin,
)
from spark_kusto.types import Column

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_SAMPLES = 128
_CALENDAR = ("week", "month", "year")


class _Analysis:
    """What the plugins share: an id, a timeline, an analysis period, dimensions."""

    def __init__(self, call: PluginCall) -> None:
        self.arguments = Arguments(call)
        self.id = self.arguments.column("IdColumn")
        self.timeline = Timeline(self.arguments, self.arguments.column("TimelineColumn"))
        self.dimensions: list[str] = []

    def point(self, what: str) -> int | float:
        """The next argument: a constant on the timeline."""
        return self.timeline.point(self.arguments.constant(what))

    def bins(self, start: int | float, end: int | float, step: int | float) -> user_analytics.Bins:
        """Regular periods of the analysis."""
        try:
            return user_analytics.regular_bins(start, end, step)
        except ValueError as error:
            raise self.arguments.fail(f"{error}.") from error

    def schema(self, *measures: tuple[str, Any]) -> list[Column]:
        """The timeline, the dimensions, the measures."""
        return [
            self.timeline.column,
            *(self.arguments.shown(name) for name in self.dimensions),
            *(Column(name, kind) for name, kind in measures),
        ]

    def run(
        self,
        table: pa.Table,
        columns: Sequence[Column],
        compute: Callable[[Any, Any], Sequence[tuple[Any, ...]]],
        labels: int = 1,
    ) -> pa.Table:
        """Rows of ``compute(ids, times)`` of each slice; the first ``labels`` items are times."""
        table = without_nulls(table, [self.timeline.name])
        ids, times = codes(table, [self.id]), self.timeline.numbers(table)
        rows: list[tuple[Any, ...]] = []
        shown: list[int] = []
        for part, row in slices(table, self.dimensions):
            found = compute(ids[part], times[part])
            rows.extend(found)
            shown.extend([row] * len(found))
        width = len(columns) - len(self.dimensions)
        values = [[row[i] for row in rows] for i in range(width)]
        return answer(
            [
                *(self.timeline.array(value) for value in values[:labels]),
                *repeated_rows(table, self.dimensions, shown),
                *values[labels:],
            ],
            columns,
        )


def _calendar_bins(start: int, end: int, unit: str) -> user_analytics.Bins:
    import numpy as np

    epoch = dt.datetime(1970, 1, 1)
    moment = epoch + dt.timedelta(microseconds=start)
    day = dt.datetime(moment.year, moment.month, moment.day)
    if unit == "week":
        day -= dt.timedelta(days=(day.weekday() + 1) % 7)
    elif unit == "month":
        day = day.replace(day=1)
    else:
        day = day.replace(month=1, day=1)
    edges = []
    while True:
        edges.append((day - epoch) // dt.timedelta(microseconds=1))
        if edges[-1] > end:
            break
        if unit == "week":
            day += dt.timedelta(days=7)
        elif unit == "month":
            day = (day + dt.timedelta(days=32)).replace(day=1)
        else:
            day = day.replace(year=day.year + 1)
    return user_analytics.Bins(np.array(edges, dtype=np.int64), end)


def _windowed(
    analysis: _Analysis, start: int | float, end: int | float, window: PluginArgument
) -> user_analytics.Bins:
    if isinstance(window.value, str):
        unit = window.value.lower()
        if unit not in _CALENDAR or analysis.timeline.type is not DATETIME:
            raise analysis.arguments.fail("a window given as text must be week, month or year.")
        return _calendar_bins(int(start), int(end), unit)
    return analysis.bins(start, end, analysis.timeline.point(window))


# --- activity_counts_metrics ---------------------------------------------------------------------


def _activity_counts(call: PluginCall) -> tuple[_Analysis, user_analytics.Bins, list[Column]]:
    analysis = _Analysis(call)
    start, end, step = (analysis.point(what) for what in ("Start", "End", "Step"))
    analysis.dimensions = analysis.arguments.dimensions()
    names = ("count", "dcount", "new_dcount", "aggregated_dcount")
    return analysis, analysis.bins(start, end, step), analysis.schema(*((n, LONG) for n in names))


def _run_activity_counts(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    analysis, bins, columns = _activity_counts(call)
    return analysis.run(
        tables[0], columns, lambda ids, times: user_analytics.activity_counts(ids, times, bins)
    )


plugin("activity_counts_metrics", lambda call: _activity_counts(call)[2], _run_activity_counts)


# --- active_users_count --------------------------------------------------------------------------


def _active_users(call: PluginCall) -> tuple[_Analysis, dict[str, Any], list[Column]]:
    analysis = _Analysis(call)
    start, end = analysis.point("Start"), analysis.point("End")
    lookback, period = analysis.point("LookbackWindow"), analysis.point("Period")
    active = analysis.arguments.constant("ActivePeriodsCount").value
    step = analysis.point("Bin")
    analysis.dimensions = analysis.arguments.dimensions()
    settings = {
        "bins": analysis.bins(start, end, step),
        "start": start,
        "lookback": lookback,
        "period": period,
        "active_periods": int(active),
    }
    return analysis, settings, analysis.schema(("dcount", LONG))


def _run_active_users(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    analysis, settings, columns = _active_users(call)
    return analysis.run(
        tables[0], columns, lambda ids, times: user_analytics.active_users(ids, times, **settings)
    )


plugin("active_users_count", lambda call: _active_users(call)[2], _run_active_users)


# --- activity_metrics ----------------------------------------------------------------------------

_RATES = (("retention_rate", REAL), ("churn_rate", REAL))


def _activity_metrics(
    call: PluginCall,
) -> tuple[_Analysis, tuple[Any, ...] | None, list[Column]]:
    analysis = _Analysis(call)
    given: tuple[Any, ...] | None = None
    following = analysis.arguments.peek()
    if following is not None and following.kind == "constant":
        first = analysis.arguments.constant("Start")
        second = analysis.arguments.peek()
        if second is None or second.kind != "constant":
            given = (None, None, first)
        else:
            start, end = analysis.timeline.point(first), analysis.point("End")
            given = (start, end, analysis.arguments.constant("Window"))
    analysis.dimensions = analysis.arguments.dimensions()
    columns = analysis.schema(("dcount_values", LONG), ("dcount_newvalues", LONG), *_RATES)
    return analysis, given, columns


def _run_activity_metrics(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    analysis, given, columns = _activity_metrics(call)
    table = without_nulls(tables[0], [analysis.timeline.name])
    if not table.num_rows:
        return answer([[] for _ in columns], columns)
    times = analysis.timeline.numbers(table)
    low, high = times.min().item(), times.max().item()
    if given is None:
        raise analysis.arguments.fail("the argument 'Window' is missing.")
    start, end, window = given
    bins = _windowed(analysis, low if start is None else start, high if end is None else end, window)
    return analysis.run(table, columns, lambda ids, times: user_analytics.activity_metrics(ids, times, bins))


plugin("activity_metrics", lambda call: _activity_metrics(call)[2], _run_activity_metrics)


# --- new_activity_metrics ------------------------------------------------------------------------


def _new_activity(call: PluginCall) -> tuple[_Analysis, dict[str, Any], list[Column]]:
    analysis = _Analysis(call)
    start, end = analysis.point("Start"), analysis.point("End")
    bins = _windowed(analysis, start, end, analysis.arguments.constant("Window"))
    following = analysis.arguments.peek()
    cohort = None
    if following is not None and following.kind == "constant":
        cohort = analysis.point("Cohort")
    lookback: PluginArgument | None = None
    for argument in analysis.arguments.rest():
        if argument.kind == "table":
            lookback = argument
        elif argument.kind == "column":
            analysis.dimensions.append(argument.column)
        else:
            raise analysis.arguments.fail("dimensions must be columns.")
    time = analysis.timeline
    columns = [
        Column(f"from_{time.name}", time.type),
        Column(f"to_{time.name}", time.type),
        *(analysis.arguments.shown(name) for name in analysis.dimensions),
        Column("dcount_new_values", LONG),
        Column("dcount_retained_values", LONG),
        Column("dcount_churn_values", LONG),
        *(Column(name, kind) for name, kind in _RATES),
    ]
    return analysis, {"bins": bins, "cohort": cohort, "lookback": lookback}, columns


def _run_new_activity(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    analysis, settings, columns = _new_activity(call)
    table = without_nulls(tables[0], [analysis.timeline.name])
    known = np.zeros(0, dtype=np.int64)
    lookback = settings["lookback"]
    if lookback is not None:
        other = tables[lookback.table]
        names = [column.name for column in lookback.columns]
        key = analysis.id if analysis.id in names else names[0]
        both = pa.table(
            {
                analysis.id: pa.chunked_array(
                    [
                        *table.column(analysis.id).chunks,
                        *other.column(key).cast(table.column(analysis.id).type).chunks,
                    ]
                )
            }
        )
        together = codes(both, [analysis.id])
        mine, theirs = together[: table.num_rows], set(together[table.num_rows :].tolist())
        plain = codes(table, [analysis.id])
        known = np.array(
            sorted({int(p) for p, c in zip(plain, mine, strict=True) if int(c) in theirs}),
            dtype=np.int64,
        )
    return analysis.run(
        table,
        columns,
        lambda ids, times: user_analytics.new_activity_metrics(
            ids, times, settings["bins"], settings["cohort"], known
        ),
        labels=2,
    )


plugin("new_activity_metrics", lambda call: _new_activity(call)[2], _run_new_activity)


# --- activity_engagement -------------------------------------------------------------------------


def _engagement(
    call: PluginCall,
) -> tuple[_Analysis, tuple[Any, Any, Any, Any], list[Column]]:
    analysis = _Analysis(call)
    numbers = []
    while (following := analysis.arguments.peek()) is not None and following.kind == "constant":
        numbers.append(analysis.point("Window"))
    if len(numbers) == 4:
        start, end, inner, outer = numbers
    elif len(numbers) == 2:
        start = end = None  # type: ignore[assignment]
        inner, outer = numbers
    else:
        raise analysis.arguments.fail("it takes Start and End or neither, and two windows.")
    analysis.dimensions = analysis.arguments.dimensions()
    columns = analysis.schema(
        ("dcount_activities_inner", LONG), ("dcount_activities_outer", LONG), ("activity_ratio", REAL)
    )
    return analysis, (start, end, inner, outer), columns


def _run_engagement(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    analysis, (start, end, inner, outer), columns = _engagement(call)
    table = without_nulls(tables[0], [analysis.timeline.name])
    if not table.num_rows:
        return answer([[] for _ in columns], columns)
    times = analysis.timeline.numbers(table)
    low = times.min().item() // inner * inner if start is None else start
    bins = analysis.bins(low, times.max().item() if end is None else end, inner)
    return analysis.run(
        table,
        columns,
        lambda ids, times: user_analytics.activity_engagement(ids, times, bins, outer),
    )


plugin("activity_engagement", lambda call: _engagement(call)[2], _run_engagement)


# --- sliding_window_counts and session_count -----------------------------------------------------


def _sliding(call: PluginCall) -> tuple[_Analysis, user_analytics.Bins, int | float, list[Column]]:
    analysis = _Analysis(call)
    start, end = analysis.point("Start"), analysis.point("End")
    window, step = analysis.point("LookbackWindow"), analysis.point("Bin")
    analysis.dimensions = analysis.arguments.dimensions()
    columns = analysis.schema(("Count", LONG), ("Dcount", LONG))
    return analysis, analysis.bins(start, end, step), window, columns


def _run_sliding(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    analysis, bins, window, columns = _sliding(call)
    return analysis.run(
        tables[0],
        columns,
        lambda ids, times: user_analytics.sliding_window_counts(ids, times, bins, window),
    )


plugin("sliding_window_counts", lambda call: _sliding(call)[3], _run_sliding)


def _sessions(call: PluginCall) -> tuple[_Analysis, user_analytics.Bins, int | float, list[Column]]:
    analysis = _Analysis(call)
    start, end, step = (analysis.point(what) for what in ("Start", "End", "Bin"))
    lookback = analysis.point("LookBackWindow")
    analysis.dimensions = analysis.arguments.dimensions()
    return analysis, analysis.bins(start, end, step), lookback, analysis.schema(("count_sessions", LONG))


def _run_sessions(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    analysis, bins, lookback, columns = _sessions(call)
    return analysis.run(
        tables[0],
        columns,
        lambda ids, times: user_analytics.session_counts(ids, times, bins, lookback),
    )


plugin("session_count", lambda call: _sessions(call)[3], _run_sessions)


# --- funnels -------------------------------------------------------------------------------------


def _events(table: pa.Table, analysis: _Analysis, state: str) -> dict[int, list[tuple[Any, Any]]]:
    import numpy as np

    ids, times = codes(table, [analysis.id]), analysis.timeline.numbers(table)
    states = table.column(state).to_pylist()
    order = np.lexsort((times, ids))
    events: dict[int, list[tuple[Any, Any]]] = {}
    for row in order.tolist():
        events.setdefault(int(ids[row]), []).append((times[row].item(), states[row]))
    return events


def _funnel(call: PluginCall) -> tuple[_Analysis, dict[str, Any], list[Column]]:
    analysis = _Analysis(call)
    start, end = analysis.point("Start"), analysis.point("End")
    window, step = analysis.point("MaxSequenceStepWindow"), analysis.point("Step")
    state = analysis.arguments.column("StateColumn")
    sequence = analysis.arguments.constant("Sequence").value
    analysis.arguments.done()
    if not isinstance(sequence, list) or not sequence:
        raise analysis.arguments.fail("the sequence must be an array of states.")
    kind = analysis.arguments.type_of(state)
    settings = {
        "bins": analysis.bins(start, end, step),
        "window": window,
        "state": state,
        "sequence": sequence,
    }
    columns = [
        analysis.timeline.column,
        Column("prev", kind),
        Column("next", kind),
        Column("dcount", LONG),
        Column("samples", DYNAMIC),
    ]
    return analysis, settings, columns


def _run_funnel(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np

    analysis, settings, columns = _funnel(call)
    table = without_nulls(tables[0], [analysis.timeline.name])
    names = table.column(analysis.id).to_pylist()
    ids = codes(table, [analysis.id])
    shown = {int(code): names[row] for row, code in reversed(list(enumerate(ids.tolist())))}
    bins = settings["bins"]
    found: dict[tuple[int, Any, Any], dict[int, None]] = {}
    for code, events in _events(table, analysis, settings["state"]).items():
        for time, before, after in sequences.funnel(events, settings["sequence"], settings["window"]):
            at = int(bins.index(np.array([time]))[0])
            if at >= 0:
                found.setdefault((at, before, after), {})[code] = None
    rows = sorted(found.items(), key=lambda item: (item[0][0], -len(item[1])))
    empty = "" if columns[1].type is STRING else None
    labels = bins.labels.tolist()
    return answer(
        [
            analysis.timeline.array([labels[key[0]] for key, _ in rows]),
            [empty if key[1] is None else key[1] for key, _ in rows],
            [empty if key[2] is None else key[2] for key, _ in rows],
            [len(members) for _, members in rows],
            [[shown[code] for code in list(members)[:_MOST_SAMPLES]] for _, members in rows],
        ],
        columns,
    )


plugin(
    "funnel_sequence",
    lambda call: _funnel(call)[2],
    _run_funnel,
    difference="Gives the first of Kusto's three tables (prev, sequence, next).",
)


def _completion(call: PluginCall) -> tuple[_Analysis, dict[str, Any], list[Column]]:
    from spark_kusto.types.text import parse_timespan

    analysis = _Analysis(call)
    start, end, step = (analysis.point(what) for what in ("Start", "End", "Step"))
    state = analysis.arguments.column("StateColumn")
    sequence = analysis.arguments.constant("Sequence").value
    periods = analysis.arguments.constant("MaxSequenceStepPeriods").value
    analysis.arguments.done()
    if not isinstance(sequence, list) or not sequence or not isinstance(periods, list) or not periods:
        raise analysis.arguments.fail("the sequence and its periods must be arrays.")
    ticks = [parse_timespan(p) if isinstance(p, str) else int(p) for p in periods]
    if None in ticks:
        raise analysis.arguments.fail("the periods must be timespans.")
    settings = {
        "bins": analysis.bins(start, end, step),
        "state": state,
        "sequence": sequence,
        "ticks": ticks,
    }
    columns = [
        analysis.timeline.column,
        Column(state, STRING),
        Column("Period", TIMESPAN),
        Column("dcount", LONG),
    ]
    return analysis, settings, columns


def _run_completion(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np

    analysis, settings, columns = _completion(call)
    table = without_nulls(tables[0], [analysis.timeline.name])
    bins, ticks = settings["bins"], settings["ticks"]
    scale = 10 if analysis.timeline.type is DATETIME else 1
    periods = [tick / scale for tick in ticks]
    states = settings["sequence"]
    counts = np.zeros((len(bins), len(periods), len(states)), dtype=np.int64)
    for events in _events(table, analysis, settings["state"]).values():
        for place, reached in enumerate(sequences.completion(events, states, periods)):
            best: dict[int, int] = {}
            for time, step in reached.items():
                at = int(bins.index(np.array([time]))[0])
                if at >= 0:
                    best[at] = max(step, best.get(at, 0))
            for at, step in best.items():
                counts[at, place, :step] += 1
    rows = [
        (label, str(state), tick, int(counts[at, place, step]))
        for at, label in enumerate(bins.labels.tolist())
        if counts[at].any()
        for place, tick in enumerate(ticks)
        for step, state in enumerate(states)
    ]
    return answer(
        [
            analysis.timeline.array([row[0] for row in rows]),
            *([row[i] for row in rows] for i in (1, 2, 3)),
        ],
        columns,
    )


plugin("funnel_sequence_completion", lambda call: _completion(call)[2], _run_completion)


# --- sequence_detect -----------------------------------------------------------------------------


def _detection(call: PluginCall) -> tuple[Arguments, Timeline, dict[str, Any], list[Column]]:
    # Steps may be named (heat=(EventType == "Heat")), so all arguments are read in their order.
    arguments = Arguments(call)
    given = list(call.arguments)
    if len(given) < 4 or given[0].kind != "column":
        raise arguments.fail("it takes a timeline, two lengths, and steps.")
    timeline = Timeline(arguments, given[0].column)
    step, span = timeline.point(given[1]), timeline.point(given[2])
    steps: list[PluginArgument] = []
    rest = given[3:]
    while rest and rest[0].kind == "column" and rest[0].type is BOOL:
        steps.append(rest.pop(0))
    if not steps:
        raise arguments.fail("at least one step must be a predicate.")
    if any(argument.kind != "column" for argument in rest):
        raise arguments.fail("dimensions must be columns.")
    names = [(s.name or (s.column if s.is_plain else f"Expr{number}")) for number, s in enumerate(steps, 1)]
    dimensions = [argument.column for argument in rest]
    columns = [
        *(Column(argument.name or argument.column, argument.type or STRING) for argument in rest),
        *(Column(f"{name}_{timeline.name}", timeline.type) for name in names),
        Column("Duration", TIMESPAN),
    ]
    settings = {
        "step": step,
        "span": span,
        "steps": [argument.column for argument in steps],
        "dimensions": dimensions,
    }
    return arguments, timeline, settings, columns


def _run_detection(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np

    _, timeline, settings, columns = _detection(call)
    table = without_nulls(tables[0], [timeline.name])
    times = timeline.numbers(table)
    flags = [
        table.column(name).combine_chunks().fill_null(False).to_numpy(zero_copy_only=False)
        for name in settings["steps"]
    ]
    chains: list[tuple[Any, ...]] = []
    shown: list[int] = []
    for part, row in slices(table, settings["dimensions"]):
        ordered = part[np.argsort(times[part], kind="stable")]
        any_step = np.logical_or.reduce([flag[ordered] for flag in flags])
        ordered = ordered[any_step]
        found = sequences.detect(
            times[ordered].tolist(),
            [flag[ordered].tolist() for flag in flags],
            settings["step"],
            settings["span"],
        )
        chains.extend(found)
        shown.extend([row] * len(found))
    scale = 10 if timeline.type is DATETIME else 1
    return answer(
        [
            *repeated_rows(table, settings["dimensions"], shown),
            *(timeline.array([chain[i] for chain in chains]) for i in range(len(flags))),
            [int((chain[-1] - chain[0]) * scale) for chain in chains],
        ],
        columns,
    )


plugin("sequence_detect", lambda call: _detection(call)[3], _run_detection)
