"""The one table of Kusto's scalar types: names, and the form each takes everywhere.

Names and aliases follow the Kusto documentation ("Scalar data types"); CLR names are the ones its
REST API prints in ``DataType``.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import EntityNotFoundError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

KUSTO_TYPE_KEY = b"kusto.type"
"""Key of the Arrow field metadata that holds the Kusto type's name."""

FIELD_ID_KEY = b"PARQUET:field_id"
"""Key of the Arrow field metadata that PyArrow keeps a Parquet column's field id under."""

TICKS_PER_SECOND = 10_000_000
"""Kusto counts time in ticks of 100 ns."""


class KustoType(str, enum.Enum):
    """A Kusto scalar type. Its value is the name KQL gives it."""

    BOOL = "bool"
    INT = "int"
    LONG = "long"
    REAL = "real"
    DECIMAL = "decimal"
    STRING = "string"
    DATETIME = "datetime"
    TIMESPAN = "timespan"
    GUID = "guid"
    DYNAMIC = "dynamic"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def parse(cls, name: str) -> KustoType:
        """The type of that name: KQL's own, an alias, or a CLR name, in any case.

        Raises:
            EntityNotFoundError: no such type; the nearest one is offered.
        """
        found = _BY_NAME.get(name.strip().lower())
        if found is None:
            close = nearest(name, _BY_NAME)
            raise EntityNotFoundError(
                f"'{name}' is not a Kusto scalar type.",
                kind="Type",
                name=name,
                candidates=_BY_NAME,
                remedy=None if close else f"The types are {', '.join(t.value for t in cls)}.",
            )
        return found

    @property
    def forms(self) -> TypeForms:
        """The forms this type takes elsewhere."""
        return _FORMS[self]

    @property
    def duckdb(self) -> str:
        """Name of the DuckDB type that holds it."""
        return _FORMS[self].duckdb

    @property
    def spark(self) -> str:
        """Name of the Spark SQL type (DDL) it has in DataFrames."""
        return _FORMS[self].spark

    @property
    def clr(self) -> str:
        """Full CLR name, such as ``System.Int64``."""
        return _FORMS[self].clr

    @property
    def python(self) -> type:
        """Class of its Python values (``object`` for dynamic)."""
        return _FORMS[self].python

    @property
    def is_numeric(self) -> bool:
        """True of int, long, real and decimal."""
        return self in (KustoType.INT, KustoType.LONG, KustoType.REAL, KustoType.DECIMAL)

    def arrow_storage(self) -> pa.DataType:
        """The Arrow type of this Kusto type in extents."""
        return _FORMS[self].arrow_storage()

    def arrow_result(self) -> pa.DataType:
        """The Arrow type of this Kusto type in results."""
        return _FORMS[self].arrow_result()


@dataclass(frozen=True)
class TypeForms:
    """One row of the table.

    Attributes:
        arrow_storage: makes the Arrow type used in extents' Parquet files.
        arrow_result: makes the Arrow type of ``to_arrow()``.
        duckdb: the DuckDB type during computation.
        spark: the Spark SQL type in DataFrames.
        clr: the CLR name in ``DataType`` of REST results.
        python: class of the Python value.
        aliases: other names KQL, the REST API and older clients use; lower case.
    """

    arrow_storage: Callable[[], pa.DataType]
    arrow_result: Callable[[], pa.DataType]
    duckdb: str
    spark: str
    clr: str
    python: type
    aliases: tuple[str, ...]


def _arrow(make: Callable[[Any], Any]) -> Callable[[], Any]:
    # pyarrow takes 0.2 s to import, so types are made at first use.
    def build() -> Any:
        import pyarrow

        return make(pyarrow)

    return build


_JSON_TEXT = _arrow(lambda pa: pa.string())

_FORMS: Mapping[KustoType, TypeForms] = {
    KustoType.BOOL: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.bool_()),
        arrow_result=_arrow(lambda pa: pa.bool_()),
        duckdb="BOOLEAN",
        spark="boolean",
        clr="System.SByte",
        python=bool,
        aliases=("boolean", "sbyte", "system.boolean"),
    ),
    KustoType.INT: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.int32()),
        arrow_result=_arrow(lambda pa: pa.int32()),
        duckdb="INTEGER",
        spark="int",
        clr="System.Int32",
        python=int,
        aliases=("int32", "int16", "int8", "uint16", "uint8", "byte", "system.int16", "system.byte"),
    ),
    KustoType.LONG: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.int64()),
        arrow_result=_arrow(lambda pa: pa.int64()),
        duckdb="BIGINT",
        spark="bigint",
        clr="System.Int64",
        python=int,
        aliases=("int64", "uint32", "uint64", "uint", "ulong", "system.uint32", "system.uint64"),
    ),
    KustoType.REAL: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.float64()),
        arrow_result=_arrow(lambda pa: pa.float64()),
        duckdb="DOUBLE",
        spark="double",
        clr="System.Double",
        python=float,
        aliases=("double", "float", "single", "system.single"),
    ),
    KustoType.DECIMAL: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.decimal128(38, 18)),
        arrow_result=_arrow(lambda pa: pa.decimal128(38, 18)),
        duckdb="DECIMAL(38,18)",
        spark="decimal(38,18)",
        clr="System.Data.SqlTypes.SqlDecimal",
        python=Decimal,
        aliases=("sqldecimal", "system.decimal"),
    ),
    KustoType.STRING: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.string()),
        arrow_result=_arrow(lambda pa: pa.string()),
        duckdb="VARCHAR",
        spark="string",
        clr="System.String",
        python=str,
        aliases=(),
    ),
    KustoType.DATETIME: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.timestamp("us")),
        arrow_result=_arrow(lambda pa: pa.timestamp("us", tz="UTC")),
        duckdb="TIMESTAMP",
        spark="timestamp",
        clr="System.DateTime",
        python=dt.datetime,
        aliases=("date",),
    ),
    KustoType.TIMESPAN: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.int64()),
        arrow_result=_arrow(lambda pa: pa.duration("us")),
        duckdb="BIGINT",
        spark="string",
        clr="System.TimeSpan",
        python=dt.timedelta,
        aliases=("time",),
    ),
    KustoType.GUID: TypeForms(
        arrow_storage=_arrow(lambda pa: pa.uuid()),
        arrow_result=_arrow(lambda pa: pa.string()),
        duckdb="UUID",
        spark="string",
        clr="System.Guid",
        python=uuid.UUID,
        aliases=("uuid", "uniqueid"),
    ),
    KustoType.DYNAMIC: TypeForms(
        arrow_storage=_JSON_TEXT,
        arrow_result=_JSON_TEXT,
        duckdb="VARCHAR",
        spark="string",
        clr="System.Object",
        python=object,
        aliases=("object",),
    ),
}


def _names() -> dict[str, KustoType]:
    names: dict[str, KustoType] = {}
    for kusto_type, forms in _FORMS.items():
        clr = forms.clr.lower()
        for name in (kusto_type.value, clr, clr.rpartition(".")[2], *forms.aliases):
            # "dynamic" is System.Object and "object"; no name may mean two types.
            if names.setdefault(name, kusto_type) is not kusto_type:
                raise AssertionError(f"{name} names two types")
    return names


_BY_NAME = _names()


@dataclass(frozen=True)
class Column:
    """A column of a table or a result.

    Attributes:
        name: as Kusto gives it.
        type: its Kusto type.
        docstring: the table's description of the column, if any.
    """

    name: str
    type: KustoType
    docstring: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.type.value}"


# -- Arrow schemas --------------------------------------------------------------------------------


def storage_field(column: Column, field_id: int | None = None) -> pa.Field:
    """The Arrow field of a column in an extent, with its Parquet field id."""
    import pyarrow

    metadata = {KUSTO_TYPE_KEY: column.type.value.encode()}
    if field_id is not None:
        metadata[FIELD_ID_KEY] = str(field_id).encode()
    return pyarrow.field(column.name, column.type.arrow_storage(), metadata=metadata)


def field_id_of(field: pa.Field) -> int | None:
    """The Parquet field id of a field that was read from a file; None if it has none."""
    text = (field.metadata or {}).get(FIELD_ID_KEY)
    return None if text is None else int(text)


def result_field(column: Column) -> pa.Field:
    """The Arrow field of a column in a result."""
    import pyarrow

    return pyarrow.field(
        column.name, column.type.arrow_result(), metadata={KUSTO_TYPE_KEY: column.type.value.encode()}
    )


def storage_schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of columns as they are stored (without field ids)."""
    import pyarrow

    return pyarrow.schema([storage_field(column) for column in columns])


def result_schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of columns as results carry them."""
    import pyarrow

    return pyarrow.schema([result_field(column) for column in columns])


def columns_from_arrow(schema: pa.Schema) -> tuple[Column, ...]:
    """The Kusto columns of an Arrow schema: by its ``kusto.type`` metadata where present, else by type.

    Raises:
        TypeConversionError: a column's Arrow type has no Kusto type, named.
    """
    from spark_kusto.types.storing import kusto_type_of

    return tuple(Column(field.name, kusto_type_of(field)) for field in schema)
