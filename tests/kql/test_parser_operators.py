"""Tabular operators: what each form of each becomes."""

from __future__ import annotations

import pytest

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import parse
from spark_kusto.kql import syntax as s

A, B, C, T = (s.Name(name) for name in ("a", "b", "c", "T"))
COUNT = s.Call("count")
ONE_DAY = s.Literal("timespan", 864_000_000_000)


def long(value: int) -> s.Literal:
    return s.Literal("long", value)


def string(value: str) -> s.Literal:
    return s.Literal("string", value)


def named(name: str, value: s.Expression) -> s.NamedExpression:
    return s.NamedExpression((s.Name(name),), value)


def columns(*declared: tuple[str, str]) -> tuple[s.ColumnDeclaration, ...]:
    return tuple(s.ColumnDeclaration(name, kind) for name, kind in declared)


def pipe(text: str) -> s.Pipe:
    (found,) = parse(text).results
    assert isinstance(found, s.Pipe)
    return found


def operator(text: str) -> s.Operator:
    """The operator of `T | <text>`."""
    found = pipe(f"T | {text}")
    assert found.source == T
    (only,) = found.operators
    return only


def source(text: str) -> s.Operator:
    """The operator that `<text>` has as its source."""
    found = pipe(text)
    assert isinstance(found.source, s.Operator)
    return found.source


class TestRowsAndColumns:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("where a", s.Where(A)),
            ("filter a", s.Where(A)),
            ("project a, x = b", s.Project((A, named("x", B)))),
            ("project", s.Project(())),
            ("extend x = a", s.Extend((named("x", A),))),
            ("project-away a, b*, *c", s.ProjectAway((A, s.WildcardName("b*"), s.WildcardName("*c")))),
            ("project-keep a*1, *", s.ProjectKeep((s.WildcardName("a*1"), s.Star()))),
            ("project-rename x = a", s.ProjectRename((named("x", A),))),
            (
                "project-reorder a, b* desc, c granny-asc",
                s.ProjectReorder(
                    (
                        s.ReorderKey(A),
                        s.ReorderKey(s.WildcardName("b*"), "desc"),
                        s.ReorderKey(C, "granny-asc"),
                    )
                ),
            ),
            ("project-by-names a, f(b)", s.ProjectByNames((A, s.Call("f", (B,))))),
            ("distinct *", s.Distinct((s.Star(),))),
            ("distinct a, x = b", s.Distinct((A, named("x", B)))),
            ("take 5", s.Take(long(5))),
            ("limit 5", s.Take(long(5))),
            ("sample 5", s.Sample(long(5))),
            ("sample-distinct 5 of a", s.SampleDistinct(long(5), A)),
            ("count", s.Count()),
            ("count as n", s.Count(s.Name("n"))),
            ("serialize", s.Serialize()),
            ("serialize a = row_number()", s.Serialize((named("a", s.Call("row_number")),))),
            ("as x", s.As(s.Name("x"))),
            ("getschema", s.GetSchema()),
            ("getschema kind=csl", s.GetSchema("csl")),
            ("consume", s.Consume()),
            (
                "assert-schema (a:long, *)",
                s.AssertSchema(s.TypeReference(columns=columns(("a", "long")), open=True)),
            ),
            ("invoke f(a)", s.Invoke(s.Call("f", (A,)))),
        ],
    )
    def test_form(self, text: str, expected: s.Operator) -> None:
        assert operator(text) == expected

    def test_sort(self) -> None:
        assert operator("sort by a") == s.Sort((s.SortKey(A),))
        assert operator("order by a asc, f(b) desc nulls first, c nulls last") == s.Sort(
            (
                s.SortKey(A, ascending=True),
                s.SortKey(s.Call("f", (B,)), ascending=False, nulls_first=True),
                s.SortKey(C, nulls_first=False),
            )
        )

    def test_top(self) -> None:
        assert operator("top 5 by a asc") == s.Top(long(5), (s.SortKey(A, ascending=True),))

    def test_hints_are_kept(self) -> None:
        found = operator("as hint.materialized=true x")
        assert isinstance(found, s.As)
        assert found.hint("hint.materialized") == "true"
        assert found.hint("HINT.Materialized") == "true"
        assert found.hint("hint.other") is None


class TestSummarize:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("summarize count()", s.Summarize((COUNT,))),
            ("summarize by a", s.Summarize((), (A,))),
            ("summarize", s.Summarize(())),
            (
                "summarize n = count(), max(a) by b, c",
                s.Summarize((named("n", COUNT), s.Call("max", (A,))), (B, C)),
            ),
            (
                "summarize count() by x = bin(a, 1d)",
                s.Summarize((COUNT,), (named("x", s.Call("bin", (A, ONE_DAY))),)),
            ),
            (
                "summarize count() by b, a bin=1d",
                s.Summarize((COUNT,), (B, s.Call("bin", (A, ONE_DAY)))),
            ),
            (
                "summarize arg_max(a, *) by b",
                s.Summarize((s.Call("arg_max", (A, s.Star())),), (B,)),
            ),
            (
                "summarize (x, y) = percentiles(a, 5)",
                s.Summarize(
                    (
                        s.NamedExpression(
                            (s.Name("x"), s.Name("y")),
                            s.Call("percentiles", (A, long(5))),
                            parenthesized=True,
                        ),
                    )
                ),
            ),
        ],
    )
    def test_form(self, text: str, expected: s.Operator) -> None:
        assert operator(text) == expected

    def test_hints(self) -> None:
        found = operator("summarize hint.strategy=shuffle hint.shufflekey = a count() by a")
        assert found.hint("hint.strategy") == "shuffle"
        assert found.hint("hint.shufflekey") == "a"

    def test_a_column_named_like_a_parameter(self) -> None:
        assert operator("summarize kind = count()") == s.Summarize((named("kind", COUNT),))


class TestTwoInputs:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("join U on a", s.Join(s.Name("U"), None, (A,))),
            ("join kind=inner (U) on a, b", s.Join(s.Name("U"), "inner", (A, B))),
            (
                "join kind = leftanti (U | where b) on $left.a == $right.b",
                s.Join(
                    s.Pipe(s.Name("U"), (s.Where(B),)),
                    "leftanti",
                    (
                        s.Binary(
                            "==",
                            s.Member(s.Name("$left"), A),
                            s.Member(s.Name("$right"), B),
                        ),
                    ),
                ),
            ),
            ("join kind=inner(U)on a", s.Join(s.Name("U"), "inner", (A,))),
            ("lookup kind=leftouter (U) on a", s.Lookup(s.Name("U"), "leftouter", (A,))),
            ("lookup U on a", s.Lookup(s.Name("U"), None, (A,))),
        ],
    )
    def test_form(self, text: str, expected: s.Operator) -> None:
        assert operator(text) == expected

    def test_join_hints(self) -> None:
        found = operator("join kind=inner hint.strategy=broadcast (U) on a")
        assert isinstance(found, s.Join)
        assert found.kind == "inner"
        assert found.hint("hint.strategy") == "broadcast"

    def test_a_misspelled_parameter_does_not_go_unnoticed(self) -> None:
        with pytest.raises(KqlSyntaxError, match="'kid' is not a parameter") as caught:
            operator("join kid=inner (U) on a")
        assert "Did you mean 'kind'?" in str(caught.value)

    def test_join_without_a_right_side(self) -> None:
        with pytest.raises(KqlSyntaxError, match="right side of join"):
            operator("join kind=inner on a")


class TestUnion:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("union A, B", s.Union((s.Name("A"), s.Name("B")))),
            ("union A*, *", s.Union((s.WildcardName("A*"), s.Star()))),
            (
                "union kind=inner withsource=S isfuzzy=true A, (B | where c)",
                s.Union((s.Name("A"), s.Pipe(s.Name("B"), (s.Where(C),))), "inner", "S", is_fuzzy=True),
            ),
            ("union with_source='S' A", s.Union((s.Name("A"),), None, "S")),
            ("union isfuzzy=false A", s.Union((s.Name("A"),))),
            (
                "union database('d').A*, f(1)",
                s.Union(
                    (
                        s.Member(s.Call("database", (string("d"),)), s.WildcardName("A*")),
                        s.Call("f", (long(1),)),
                    )
                ),
            ),
            ("union ['A b'], A.B", s.Union((s.Name("A b"), s.Member(s.Name("A"), s.Name("B"))))),
        ],
    )
    def test_form(self, text: str, expected: s.Operator) -> None:
        assert source(text) == expected
        assert operator(text) == expected

    def test_more_is_piped(self) -> None:
        assert pipe("union A, B | count").operators == (s.Count(),)


class TestSources:
    def test_print(self) -> None:
        assert source("print 1, x = a") == s.Print((long(1), named("x", A)))
        assert source("print(1)") == s.Print((long(1),))

    def test_range(self) -> None:
        assert source("range x from 1 to b step 1d") == s.Range(s.Name("x"), long(1), B, ONE_DAY)

    def test_range_is_a_function_too(self) -> None:
        (found,) = parse("range(1, 2, 3)").results
        assert found == s.Call("range", (long(1), long(2), long(3)))

    def test_datatable(self) -> None:
        expected = s.DataTable(columns(("a", "long"), ("b c", "real")), (long(1), s.Unary("-", long(2))))
        assert source("datatable (a:long, ['b c']:double) [1, -2]") == expected
        assert source("datatable(a:long,['b c']:double,)[1,-2,]") == expected

    def test_datatable_without_rows(self) -> None:
        assert source("datatable(a:date)[]") == s.DataTable(columns(("a", "datetime")), ())

    @pytest.mark.parametrize("word", ["externaldata", "external_data"])
    def test_externaldata(self, word: str) -> None:
        found = source(f'{word}(a:string)[h@"u", "v",] with (format="csv", ignoreFirstRecord=true)')
        assert found == s.ExternalData(
            columns(("a", "string")),
            (string("u"), string("v")),
            (
                s.Property("format", string("csv")),
                s.Property("ignoreFirstRecord", s.Literal("bool", True)),
            ),
        )

    def test_inline_external_table(self) -> None:
        found = source(
            "inline_external_table (a:long, d:datetime) kind=storage"
            ' partition by (day:datetime = bin(d, 1d)) pathformat = ("x=" day)'
            ' dataformat=parquet ("u") with (p=1)'
        )
        assert isinstance(found, s.InlineExternalTable)
        assert (found.kind, found.data_format, found.uris) == ("storage", "parquet", (string("u"),))
        (partition,) = found.partitions
        assert partition.default == s.Call("bin", (s.Name("d"), ONE_DAY))
        assert found.path_format == (string("x="), s.Name("day"))

    def test_macro_expand(self) -> None:
        found = source("macro-expand entity_group [database('x'), D] as X (let a = 1; X.T | count)")
        assert isinstance(found, s.MacroExpand)
        assert found.alias == s.Name("X")
        assert isinstance(found.entity_group, s.EntityGroup)
        assert len(found.entity_group.entities) == 2
        assert [type(statement) for statement in found.statements] == [s.Let, s.ExpressionStatement]

    def test_data_scope(self) -> None:
        assert pipe("T datascope=hotcache | count").source == s.DataScope(T, "hotcache")


class TestSearchAndFind:
    def test_search(self) -> None:
        assert source('search "x"') == s.Search(string("x"))
        assert operator('search "x"') == s.Search(string("x"))
        assert source('search kind=case_sensitive in (T, U*) a:"x" or "y"') == s.Search(
            s.Binary("or", s.Binary(":", A, string("x")), string("y")),
            "case_sensitive",
            (T, s.WildcardName("U*")),
        )
        assert source("search *") == s.Search(s.Star())
        assert source("search * and a == 1") == s.Search(
            s.Binary("and", s.Star(), s.Binary("==", A, long(1)))
        )

    def test_find(self) -> None:
        assert source("find where a") == s.Find(A)
        assert source('find "x"') == s.Find(string("x"))
        assert source(
            "find withsource=S in (T, U*, (V | take 1)) where a project b:long, c, pack(*)"
        ) == s.Find(
            A,
            (T, s.WildcardName("U*"), s.Pipe(s.Name("V"), (s.Take(long(1)),))),
            "S",
            project=(
                s.FindColumn(B, "long"),
                s.FindColumn(C),
                s.FindColumn(s.Call("pack", (s.Star(),))),
            ),
        )
        assert source("find datascope=all where a project-smart project-away *") == s.Find(
            A, data_scope="all", project_smart=True, project_away=(s.Star(),)
        )


class TestSeveralRows:
    def test_mv_expand(self) -> None:
        assert operator("mv-expand a") == s.MvExpand((s.MvColumn(A),))
        assert operator("mvexpand a") == s.MvExpand((s.MvColumn(A),))
        expected = s.MvExpand(
            (
                s.MvColumn(A, to_type=s.TypeReference("long")),
                s.MvColumn(s.Call("f", (B,)), s.Name("x")),
            ),
            "array",
            "i",
            long(5),
        )
        assert (
            operator("mv-expand kind=array with_itemindex=i a to typeof(long), x = f(b) limit 5") == expected
        )
        assert operator("mv-expand bagexpansion=array a") == s.MvExpand((s.MvColumn(A),), "array")

    def test_mv_apply(self) -> None:
        sub = s.SubPipe((s.Where(B), s.Project((B,))))
        assert operator("mv-apply x = a to typeof(string) on (where b | project b)") == s.MvApply(
            (s.MvColumn(A, s.Name("x"), s.TypeReference("string")),), sub
        )
        assert operator("mv-apply with_itemindex=i a limit 3 on (where b | project b)") == s.MvApply(
            (s.MvColumn(A),), sub, "i", long(3)
        )

    def test_parse(self) -> None:
        pattern = (
            s.Star(),
            string("x"),
            s.ParseColumn("b", "long"),
            string("y"),
            s.ParseColumn("c"),
        )
        assert operator("parse a with * 'x' b:long 'y' c") == s.Parse(A, pattern)
        assert operator("parse kind=regex flags=Ui f(a) with 'x' b *") == s.Parse(
            s.Call("f", (A,)), (string("x"), s.ParseColumn("b"), s.Star()), "regex", "Ui"
        )
        assert operator("parse-where a with 'x' b") == s.Parse(
            A, (string("x"), s.ParseColumn("b")), filtering=True
        )

    def test_parse_kv(self) -> None:
        assert operator("parse-kv a as (b:long) with (quote='\"', greedy=true)") == s.ParseKv(
            A,
            columns(("b", "long")),
            (s.Property("quote", string('"')), s.Property("greedy", s.Literal("bool", True))),
        )


class TestGrouping:
    def test_make_series(self) -> None:
        aggregates = (
            s.MakeSeriesAggregate(named("n", COUNT), long(0)),
            s.MakeSeriesAggregate(s.Call("avg", (A,))),
        )
        assert operator(
            "make-series n = count() default = 0, avg(a) on b from 1 to 9 step 2 by c"
        ) == s.MakeSeries(aggregates, B, long(2), long(1), long(9), (C,))
        assert operator(
            "make-series n=count() default=0, avg(a) on b in range(1, 9, 2) by c"
        ) == s.MakeSeries(aggregates, B, long(2), long(1), long(9), (C,), in_range=True)
        assert operator("make-series kind=nonempty count() on b step 1d") == s.MakeSeries(
            (s.MakeSeriesAggregate(COUNT),), B, ONE_DAY, kind="nonempty"
        )

    def test_partition(self) -> None:
        sub = s.SubPipe((s.Take(long(1)),))
        assert operator("partition by a (take 1)") == s.Partition(A, sub)
        native = operator("partition hint.strategy=native by a.b (take 1)")
        assert isinstance(native, s.Partition)
        assert native.by == s.Member(A, B)
        assert native.hint("hint.strategy") == "native"
        assert operator("partition by a { U | where b == a }") == s.Partition(
            A, s.Pipe(s.Name("U"), (s.Where(s.Binary("==", B, A)),))
        )

    def test_top_nested(self) -> None:
        assert operator(
            "top-nested 3 of a with others = 'x' by n = count() desc, top-nested of b by max(c)"
        ) == s.TopNested(
            (
                s.TopNestedLevel(A, named("n", COUNT), long(3), string("x"), ascending=False),
                s.TopNestedLevel(B, s.Call("max", (C,))),
            )
        )

    def test_top_hitters(self) -> None:
        assert operator("top-hitters 2 of a by b") == s.TopHitters(long(2), A, B)
        assert operator("top-hitters 2 of a") == s.TopHitters(long(2), A)

    def test_reduce(self) -> None:
        assert operator("reduce by a with threshold=0.2, characters='-'") == s.Reduce(
            A,
            properties=(
                s.Property("threshold", s.Literal("real", 0.2)),
                s.Property("characters", string("-")),
            ),
        )

    def test_facet_and_fork(self) -> None:
        assert operator("facet by a, b with (where c | take 1)") == s.Facet(
            (A, B), s.SubPipe((s.Where(C), s.Take(long(1))))
        )
        assert operator("facet by a") == s.Facet((A,))
        assert operator("fork (where a) n = (take 1 | count)") == s.Fork(
            (
                s.ForkBranch(s.SubPipe((s.Where(A),))),
                s.ForkBranch(s.SubPipe((s.Take(long(1)), s.Count())), s.Name("n")),
            )
        )

    def test_scan(self) -> None:
        found = operator(
            "scan with_match_id=m order by a asc partition by b declare (x:long = 0, y:string)"
            " with (step s1 output=none: c => x = 1; step s2 optional: s1.x > 0;)"
        )
        assert found == s.Scan(
            (
                s.ScanStep("s1", C, (s.ScanAssignment(s.Name("x"), long(1)),), output="none"),
                s.ScanStep(
                    "s2",
                    s.Binary(">", s.Member(s.Name("s1"), s.Name("x")), long(0)),
                    optional=True,
                ),
            ),
            (s.ColumnDeclaration("x", "long", long(0)), s.ColumnDeclaration("y", "string")),
            "m",
            (s.SortKey(A, ascending=True),),
            (B,),
        )


class TestRenderAndEvaluate:
    def test_render(self) -> None:
        assert operator("render timechart") == s.Render("timechart")
        expected = s.Render(
            "timechart",
            (
                s.RenderProperty("title", (string("x"),)),
                s.RenderProperty("ycolumns", (A, B)),
                s.RenderProperty("kind", (s.Name("stacked"),)),
                s.RenderProperty("ymin", (s.Unary("-", long(1)),)),
            ),
        )
        assert operator('render timechart with (title="x", ycolumns=a, b, kind=stacked, ymin=-1)') == expected

    def test_older_render(self) -> None:
        assert operator("render barchart kind=stacked title='x'") == s.Render(
            "barchart",
            (
                s.RenderProperty("kind", (s.Name("stacked"),)),
                s.RenderProperty("title", (string("x"),)),
            ),
        )

    def test_evaluate(self) -> None:
        call = s.Call("pivot", (A, s.Call("sum", (B,))))
        assert operator("evaluate pivot(a, sum(b))") == s.Evaluate(call)
        found = operator("evaluate hint.distribution=per_node pivot(a, sum(b)) : (x:long, *)")
        assert isinstance(found, s.Evaluate)
        assert found.call == call
        assert found.schema == s.TypeReference(columns=columns(("x", "long")), open=True)
        assert found.hint("hint.distribution") == "per_node"

    def test_evaluate_as_a_source(self) -> None:
        found = source("evaluate f((T | take 1))")
        assert found == s.Evaluate(s.Call("f", (s.Pipe(T, (s.Take(long(1)),)),)))


class TestGraphs:
    def test_make_graph(self) -> None:
        assert operator("make-graph a --> b with N on id, M on k") == s.MakeGraph(
            A,
            B,
            (
                s.GraphNodeTable(s.Name("N"), s.Name("id")),
                s.GraphNodeTable(s.Name("M"), s.Name("k")),
            ),
        )
        assert operator("make-graph a -- b with_node_id=n") == s.MakeGraph(
            A, B, with_node_id="n", directed=False
        )
        assert operator("make-graph a --> b partitioned-by c (graph-to-table nodes)") == s.MakeGraph(
            A,
            B,
            partitioned_by=C,
            subquery=s.SubPipe((s.GraphToTable((s.GraphOutput("nodes"),)),)),
        )

    def test_graph_match(self) -> None:
        found = operator("graph-match cycles=none (a)-[e*1..5]->(b)<--(c), (a)--() where a.x == 1 project b")
        node = s.GraphNodePattern
        assert found == s.GraphMatch(
            (
                s.GraphPathPattern(
                    (
                        node("a"),
                        s.GraphEdgePattern("forward", "e", long(1), long(5)),
                        node("b"),
                        s.GraphEdgePattern("backward"),
                        node("c"),
                    )
                ),
                s.GraphPathPattern((node("a"), s.GraphEdgePattern("any"), node(None))),
            ),
            s.Binary("==", s.Member(A, s.Name("x")), long(1)),
            (B,),
            "none",
        )

    @pytest.mark.parametrize(
        ("edge", "direction"),
        [
            ("-->", "forward"),
            ("<--", "backward"),
            ("--", "any"),
            ("-[e]->", "forward"),
            ("<-[e]-", "backward"),
            ("-[e]-", "any"),
            ("-[]->", "forward"),
            ("-[*2..3]-", "any"),
        ],
    )
    def test_edges(self, edge: str, direction: str) -> None:
        found = operator(f"graph-match (a){edge}(b)")
        assert isinstance(found, s.GraphMatch)
        pattern = found.patterns[0].elements[1]
        assert isinstance(pattern, s.GraphEdgePattern)
        assert pattern.direction == direction
        assert pattern.is_variable == ("*" in edge)

    def test_two_nodes_need_an_edge(self) -> None:
        with pytest.raises(KqlSyntaxError, match="an edge between two nodes"):
            operator("graph-match (a)(b)")
        with pytest.raises(KqlSyntaxError, match="a node such as"):
            operator("graph-match (a)-->-->(b)")

    def test_the_others(self) -> None:
        assert operator(
            "graph-to-table nodes as N with_node_id=i, edges as E with_source_id=x with_target_id=y"
        ) == (
            s.GraphToTable(
                (
                    s.GraphOutput("nodes", s.Name("N"), "i"),
                    s.GraphOutput("edges", s.Name("E"), None, "x", "y"),
                )
            )
        )
        shortest = operator("graph-shortest-paths output=all (a)-[e*1..2]->(b) project c")
        assert isinstance(shortest, s.GraphShortestPaths)
        assert shortest.output == "all"
        assert operator("graph-mark-components kind=weak with_component_id=x") == s.GraphMarkComponents(
            "weak", "x"
        )
        assert operator("graph-where-nodes a") == s.GraphWhereNodes(A)
        assert operator("graph-where-edges a") == s.GraphWhereEdges(A)


class TestPipes:
    def test_a_lone_name_stays_a_name(self) -> None:
        assert parse("T").results == (T,)
        assert parse("(T)").results == (T,)

    def test_a_source_alone_is_a_pipe(self) -> None:
        assert parse("print 1").results == (s.Pipe(s.Print((long(1),))),)

    def test_pipes_nest_in_parentheses(self) -> None:
        assert pipe("(T | where a) | take 1") == s.Pipe(s.Pipe(T, (s.Where(A),)), (s.Take(long(1)),))

    def test_a_datatable_is_the_source_of_its_own_pipe(self) -> None:
        found = pipe("datatable(a:long)[1] | count")
        assert isinstance(found.source, s.DataTable)
        assert found.operators == (s.Count(),)

    def test_tables_of_other_databases(self) -> None:
        assert pipe('database("d").T | count').source == s.Member(s.Call("database", (string("d"),)), T)
        assert pipe("['T x'] | count").source == s.Name("T x")

    def test_comments_and_blank_lines_anywhere(self) -> None:
        text = "\n// a\nT // b\n\n  // c | d\n| where // e\n a // f\n\n| take\n1 // g"
        assert pipe(text) == s.Pipe(T, (s.Where(A), s.Take(long(1))))

    def test_a_long_pipe(self) -> None:
        assert len(pipe("T" + " | where a" * 3000).operators) == 3000
