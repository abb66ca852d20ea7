"""Rows of texts that hold something else: base64, compressed bytes, CSV, XML, paths, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.algorithms import encodings, jsonpath, parsing
from spark_kusto.kql.registry import (
    ANY,
    DECIMAL,
    DYNAMIC,
    GUID,
    STRING,
    TEXT,
    Emission,
    optional,
    parameter,
    python_row,
    python_scalar,
    repeated,
    scalar,
    special,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.context import Context
    from spark_kusto.kql.binder.core import Binder
    from spark_kusto.kql.plan import Expr

python_scalar(
    "base64_decode_tostring",
    [STRING],
    STRING,
    encodings.base64_decode_tostring,
    aliases=("base64_decodestring",),
)
python_scalar(
    "base64_decode_toarray",
    [STRING],
    DYNAMIC,
    encodings.base64_decode_toarray,
    aliases=("base64_decode_array",),
)
python_scalar("base64_decode_toguid", [STRING], GUID, encodings.base64_decode_toguid)
python_scalar(
    "base64_encode_tostring",
    [STRING],
    STRING,
    encodings.base64_encode_tostring,
    aliases=("base64_encodestring",),
)
python_scalar("base64_encode_fromarray", [DYNAMIC], STRING, encodings.base64_encode_fromarray)
python_scalar("base64_encode_fromguid", [GUID], STRING, encodings.base64_encode_fromguid)

for _name in (
    "zlib_compress_to_base64_string",
    "gzip_compress_to_base64_string",
    "zlib_decompress_from_base64_string",
    "gzip_decompress_from_base64_string",
):
    python_scalar(_name, [STRING], STRING, getattr(encodings, _name))

python_scalar(
    "unicode_codepoints_from_string",
    [TEXT],
    DYNAMIC,
    encodings.unicode_codepoints_from_string,
    aliases=("to_utf8",),
)
python_scalar(
    "unicode_codepoints_to_string",
    [repeated(ANY, "codepoint")],
    STRING,
    encodings.unicode_codepoints_to_string,
    aliases=("make_string",),
    calls_on_null=True,
)


def _translate(call: Emission) -> str:
    # DuckDB drops what has no counterpart; Kusto repeats the last character of the second list.
    return call.once(
        "translate({text}, {search}, CASE WHEN {put} <> '' AND length({put}) < length({search})"
        " THEN rpad({put}, length({search})::INTEGER, right({put}, 1)) ELSE {put} END)",
        search=call.sql[0],
        put=call.sql[1],
        text=call.sql[2],
    )


scalar(
    "translate",
    [
        parameter(STRING, "search_list"),
        parameter(STRING, "replacement_list"),
        parameter(STRING, "source"),
    ],
    STRING,
    _translate,
)

python_scalar("parse_csv", [STRING], DYNAMIC, parsing.parse_csv, aliases=("parsecsv",), column="{0}")
python_scalar(
    "parse_command_line",
    [TEXT, optional(STRING, "windows", "parser_type")],
    DYNAMIC,
    parsing.parse_command_line,
)
python_scalar("parse_path", [STRING], DYNAMIC, parsing.parse_path)
python_scalar("parse_xml", [STRING], DYNAMIC, parsing.parse_xml, column="{0}")

# Up to 32 digits before the point: more than DECIMAL(38, 18) holds, so its scale is 0 here.
python_scalar("$parse_version", [STRING], STRING, parsing.parse_version)
scalar(
    "parse_version",
    [STRING],
    DECIMAL,
    lambda call: f"TRY_CAST(nullif({call.udf('$parse_version', *call.sql)}, '') AS DECIMAL(38, 0))",
    nulls="maybe",
)


python_scalar("$extract_json", [STRING, STRING], STRING, jsonpath.extract)


def _bind_extract_json(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    from spark_kusto.kql.binder.calls import call_row
    from spark_kusto.kql.binder.conversion import convert

    arguments = [binder.expression(argument, context) for argument in node.arguments[:2]]
    if len(arguments) == 2 and arguments[1].type is DYNAMIC:
        arguments[1] = convert(arguments[1], STRING)
    found = call_row(binder, python_row("$extract_json"), arguments, node)
    if len(node.arguments) > 2:
        given = node.arguments[2]
        if not isinstance(given, syntax.TypeOf) or given.type.scalar is None:
            raise binder.error(f"{node.name}() takes a type last: typeof(long).", given)
        return convert(found, KustoType.parse(given.type.scalar))  # type: ignore[arg-type]
    return found  # type: ignore[return-value]


special("extract_json", _bind_extract_json, aliases=("extractjson",))
