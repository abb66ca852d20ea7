"""Graph operators."""

from __future__ import annotations

from spark_kusto.kql import syntax
from spark_kusto.kql.parser.sources import SourceParser


class GraphParser(SourceParser):
    """Rules for `make-graph` and the operators on graphs; each starts behind its keyword."""

    __slots__ = ()

    def sub_pipe(self, what: str) -> syntax.SubPipe:
        """`( operator | operator ... )`, whose input the context gives."""
        raise NotImplementedError

    def _make_graph(self, start: int) -> syntax.Operator:
        hints = self.parameters(frozenset(("kind",)))
        source = self.simple_path("the column of source nodes")
        self.expect("-", "for the arrow after the column of source nodes")
        self.expect("-", "for the arrow after the column of source nodes")
        directed = self.accept(">")
        target = self.simple_path("the column of target nodes")
        nodes: tuple[syntax.GraphNodeTable, ...] = ()
        node_id = None
        if self.accept("with_node_id"):
            self.expect("=", "after with_node_id")
            node_id = self.name("a column name").name
        elif self.accept("with"):
            nodes = self.comma_list(self._node_table)
        partitioned_by = subquery = None
        if self.accept("partitioned-by"):
            partitioned_by = self.simple_path("a column after partitioned-by")
            subquery = self.sub_pipe("partitioned-by")
        return syntax.MakeGraph(
            source,
            target,
            nodes,
            node_id,
            directed,
            partitioned_by,
            subquery,
            hints=tuple(hints),
            span=self.span(start),
        )

    def _node_table(self) -> syntax.GraphNodeTable:
        start = self.i
        table = self.operand()
        self.expect("on", "after a table of nodes")
        return syntax.GraphNodeTable(table, self.simple_path("the column of node ids"), span=self.span(start))

    def _graph_match(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        cycles = self.take_text(hints, "cycles")
        patterns = self.comma_list(self._path_pattern)
        where, project = self._where_and_project()
        return syntax.GraphMatch(patterns, where, project, cycles, hints=tuple(hints), span=self.span(start))

    def _graph_shortest_paths(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        output = self.take_text(hints, "output")
        patterns = self.comma_list(self._path_pattern)
        where, project = self._where_and_project()
        return syntax.GraphShortestPaths(
            patterns, where, project, output, hints=tuple(hints), span=self.span(start)
        )

    def _where_and_project(
        self,
    ) -> tuple[syntax.Expression | None, tuple[syntax.Expression, ...]]:
        where = self.expression() if self.accept("where") else None
        project: tuple[syntax.Expression, ...] = ()
        if self.accept("project"):
            project = self.comma_list(self.named)
        return where, project

    def _path_pattern(self) -> syntax.GraphPathPattern:
        start = self.i
        elements: list[syntax.GraphNodePattern | syntax.GraphEdgePattern] = []
        while True:
            text = self.texts[self.i]
            if text == "(":
                if elements and isinstance(elements[-1], syntax.GraphNodePattern):
                    raise self.expected("an edge between two nodes, such as --> or -[name]->")
                elements.append(self._node_pattern())
            elif text == "-" or text == "<":
                if not elements or isinstance(elements[-1], syntax.GraphEdgePattern):
                    raise self.expected("a node such as (name)")
                elements.append(self._edge_pattern())
            elif not elements or isinstance(elements[-1], syntax.GraphEdgePattern):
                raise self.expected("a node such as (name)")
            else:
                return syntax.GraphPathPattern(tuple(elements), span=self.span(start))

    def _node_pattern(self) -> syntax.GraphNodePattern:
        start = self.i
        self.i += 1
        name = None if self.texts[self.i] == ")" else self.name("a node's name").name
        self.close(")", start, "the node")
        return syntax.GraphNodePattern(name, span=self.span(start))

    def _edge_pattern(self) -> syntax.GraphEdgePattern:
        """`--`, `-->`, `<--`, `-[name*1..3]-`, `-[..]->`, `<-[..]-`."""
        start = self.i
        backward = self.accept("<")
        self.expect("-", "in an edge")
        if self.accept("-"):
            forward = not backward and self.accept(">")
            direction = "backward" if backward else "forward" if forward else "any"
            return syntax.GraphEdgePattern(direction, span=self.span(start))
        opened = self.i
        self.expect("[", "or '-' in an edge")
        name = low = high = None
        if self.texts[self.i] not in ("*", "]"):
            name = self.name("an edge's name").name
        if self.accept("*"):
            low = self.operand()
            self.expect("..", "between the bounds of a variable-length edge")
            high = self.operand()
        self.close("]", opened, "the edge")
        self.expect("-", "after an edge")
        forward = not backward and self.accept(">")
        direction = "backward" if backward else "forward" if forward else "any"
        return syntax.GraphEdgePattern(direction, name, low, high, span=self.span(start))

    def _graph_to_table(self, start: int) -> syntax.Operator:
        outputs = self.comma_list(self._graph_output)
        return syntax.GraphToTable(outputs, span=self.span(start))

    def _graph_output(self) -> syntax.GraphOutput:
        start = self.i
        kind = self.texts[start]
        if kind not in ("nodes", "edges"):
            raise self.expected("'nodes' or 'edges'")
        self.i += 1
        name = self.name("a name after as") if self.accept("as") else None
        hints = self.parameters()
        return syntax.GraphOutput(
            kind,
            name,
            self.take_text(hints, "with_node_id"),
            self.take_text(hints, "with_source_id"),
            self.take_text(hints, "with_target_id"),
            span=self.span(start),
        )

    def _graph_mark_components(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        component = self.take_text(hints, "with_component_id")
        return syntax.GraphMarkComponents(kind, component, hints=tuple(hints), span=self.span(start))

    def _graph_where_nodes(self, start: int) -> syntax.Operator:
        return syntax.GraphWhereNodes(self.expression(), span=self.span(start))

    def _graph_where_edges(self, start: int) -> syntax.Operator:
        return syntax.GraphWhereEdges(self.expression(), span=self.span(start))
