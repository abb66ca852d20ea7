"""Everything that can go wrong, by name.

::

    KustoError                          base: what was tried, on what, why it failed, what to do
    |-- OptionError                     an option, address or argument the caller gave is wrong
    |-- UnsupportedError                a feature, named, that this cluster or platform does not offer
    |-- AuthenticationError             credentials missing, refused, or not enough
    |-- EntityNotFoundError             no such cluster, database, table, column, function, mapping ...
    |-- EntityExistsError               the name is taken
    |-- KqlError                        the text of a query or command is at fault
    |   |-- KqlSyntaxError              it does not parse: line, column, caret
    |   `-- KqlSemanticError            it parses and means nothing: unknown name, wrong types
    |-- QueryError                      the query was understood and failed while it ran
    |   |-- QueryLimitError             a limit on rows, bytes or memory was hit
    |   `-- QueryTimeoutError           it took longer than it was given
    |-- ServiceError                    a remote service answered with an error or not at all
    |-- StagingError                    blobs between the writer and the cluster: upload, listing, clean-up
    |-- IngestError                     rows could not be stored
    |   |-- SchemaMismatchError         columns of the data and of the table do not fit
    |   |   `-- TypeConversionError     one column's type, or one value, does not fit
    |   `-- IngestConflictError         the operation was aborted, expired or overtaken
    `-- StorageError                    the embedded cluster's directory
        |-- NotAClusterError            the directory holds something else
        |-- NewerFormatError            written by a newer version of this package
        |-- NetworkFileSystemError      a file system on which concurrent access would lose data
        |-- StorageFullError            no space left
        |-- StorageBusyError            another process held the catalog for too long
        |-- CorruptExtentError          a data file is missing, cut short or unreadable
        `-- SnapshotExpiredError        the files of an old snapshot have been removed

Every error can be pickled (Spark carries them between processes), has ``code`` (the Kusto error
code where there is one), ``permanent`` (whether trying again without a change is pointless), and
prints its remedy after its message. Secrets are taken out of messages on construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AuthenticationError",
    "CorruptExtentError",
    "EntityExistsError",
    "EntityNotFoundError",
    "IngestConflictError",
    "IngestError",
    "KqlError",
    "KqlSemanticError",
    "KqlSyntaxError",
    "KustoError",
    "NetworkFileSystemError",
    "NewerFormatError",
    "NotAClusterError",
    "OptionError",
    "QueryError",
    "QueryLimitError",
    "QueryTimeoutError",
    "SchemaMismatchError",
    "ServiceError",
    "SnapshotExpiredError",
    "StagingError",
    "StorageBusyError",
    "StorageError",
    "StorageFullError",
    "TypeConversionError",
    "UnsupportedError",
    "edit_distance",
    "nearest",
    "redact",
]


# -- secrets --------------------------------------------------------------------------------------

_REDACTED = "***"

_SECRET_NAMES = (
    r"sig|signature|accountkey|sharedaccesskey|sharedaccesssignature|accesskey|storageaccountkey|saskey|"
    r"sastoken|secret|client_?secret|clientsecret|appsecret|applicationkey|appkey|application[ _]key|"
    r"kustoaadappsecret|kutoaadappcertpassword|kustoaadappcertpassword|keyvaultappkey|keyvaultpemfilekey|"
    r"password|pwd|passwd|passphrase|accesstoken|access_token|refresh_token|id_token|usertoken|apptoken|"
    r"application[ _]token|user[ _]token|fed[ _]token|token|apikey|api[_-]key|client_assertion"
)

_OBFUSCATED_STRING = re.compile(
    r"""\b[hH](?:
          @"(?:[^"]|"")*"? | @'(?:[^']|'')*'?
        | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'?
        | ```.*?(?:```|\Z) | ~~~.*?(?:~~~|\Z)
        )""",
    re.VERBOSE | re.DOTALL,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_QUOTED_PAIR = re.compile(
    rf"""(["']?\b(?:{_SECRET_NAMES})["']?\s*[:=]\s*)(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.IGNORECASE
)
_PLAIN_PAIR = re.compile(rf"""(\b(?:{_SECRET_NAMES})\s*=\s*)(?!["'])[^\s&;,"'<>)\]}}]+""", re.IGNORECASE)
# A storage connection string carries an account key or credentials after a semicolon.
_BLOB_KEY = re.compile(
    r"""((?:https|abfss|wasbs|abfs|wasb|adl|s3)://[^\s"';]+);(?!impersonate\b|managed_identity=|prompt\b)[^\s"']+""",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/@:]+):[^\s/@]+@", re.IGNORECASE)


def redact(text: str) -> str:
    """Take secrets out of a text that is going to be shown, logged or stored.

    Covers obfuscated KQL strings (``h"..."`` in all their forms), SAS signatures, account keys in
    storage connection strings, ``name=value`` and JSON pairs whose name says secret, bearer tokens
    and passwords in addresses. A text without secrets comes back unchanged.
    """
    text = _OBFUSCATED_STRING.sub(f'h"{_REDACTED}"', text)
    text = _BEARER.sub(rf"\1 {_REDACTED}", text)
    text = _JWT.sub(_REDACTED, text)
    text = _QUOTED_PAIR.sub(rf'\1"{_REDACTED}"', text)
    text = _BLOB_KEY.sub(rf"\1;{_REDACTED}", text)
    text = _PLAIN_PAIR.sub(rf"\1{_REDACTED}", text)
    return _USER_INFO.sub(rf"\1:{_REDACTED}@", text)


# -- suggestions ----------------------------------------------------------------------------------


def edit_distance(left: str, right: str, limit: int | None = None) -> int:
    """Edits (insert, delete, replace, swap of neighbours) that turn one text into the other.

    ``limit`` stops early: a result above it only says "more than the limit".
    """
    if limit is not None and abs(len(left) - len(right)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        current = [i]
        for j, b in enumerate(right, 1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if limit is not None and min(current) > limit:
            return limit + 1
        before, previous = previous, current
    return previous[-1]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate a user most likely meant, or None when none is close.

    The same name in another case comes first, then the least edit distance (at most 2, and less than
    half of the name), then a name that contains the other one.
    """
    folded = name.casefold()
    known = list(candidates)
    for candidate in known:
        if candidate.casefold() == folded:
            return candidate
    limit = min(2, max(1, (len(name) - 1) // 2)) if len(name) > 1 else 0
    best: tuple[int, str] | None = None
    for candidate in known:
        distance = edit_distance(folded, candidate.casefold(), limit)
        if distance <= limit and (best is None or distance < best[0]):
            best = (distance, candidate)
    if best is not None:
        return best[1]
    if len(folded) >= 3:
        within = [c for c in known if len(c) >= 3 and (folded in c.casefold() or c.casefold() in folded)]
        if within:
            return min(within, key=lambda c: abs(len(c) - len(name)))
    return None


# -- the base -------------------------------------------------------------------------------------


def _restore(cls: type[KustoError], args: tuple[Any, ...], state: dict[str, Any]) -> KustoError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class KustoError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: what was tried, on what, and why it failed.
        remedy: what the reader can do about it, a sentence; printed after the message.
        code: the Kusto error code (``SEM0100``, ``E_QUERY_RESULT_SET_TOO_LARGE`` ...), if any.
        permanent: True when trying again without a change cannot succeed.
    """

    default_code = "General_BadRequest"
    default_permanent = True

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        code: str | None = None,
        permanent: bool | None = None,
    ) -> None:
        self.message = redact(message)
        self.remedy = None if remedy is None else redact(remedy)
        self.code = code or self.default_code
        self.permanent = self.default_permanent if permanent is None else permanent
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message} {self.remedy}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.args, dict(self.__dict__)))


class OptionError(KustoError):
    """An option, a cluster address or an argument is unknown, malformed or contradicts another."""


class UnsupportedError(KustoError):
    """A feature is refused by name instead of being answered wrongly.

    Args:
        feature: the name of the operator, function, command or option that is refused.
    """

    default_code = "General_NotSupported"

    def __init__(
        self,
        message: str,
        *,
        feature: str | None = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.feature = feature


class AuthenticationError(KustoError):
    """Credentials are missing, were refused, or lack the needed role."""

    default_code = "Unauthorized"


class EntityNotFoundError(KustoError):
    """A cluster, database, table, column, function, mapping ... does not exist.

    Args:
        message: the sentence to print; or None to have it made from the other arguments.
        kind: what was looked for, such as ``"Table"``.
        name: the name that was not found.
        container: where it was looked for, such as ``"database 'NetDefaultDB'"``.
        candidates: names that do exist there; the nearest is offered.
    """

    default_code = "BadRequest_EntityNotFound"

    def __init__(
        self,
        message: str | None = None,
        *,
        kind: str = "Entity",
        name: str = "",
        container: str | None = None,
        candidates: Iterable[str] = (),
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.suggestion = nearest(name, candidates) if name else None
        if message is None:
            message = f"{kind} '{name}' was not found" + (f" in {container}." if container else ".")
        if remedy is None and self.suggestion is not None:
            remedy = f"Did you mean '{self.suggestion}'?"
        super().__init__(message, remedy=remedy, code=code)


class EntityExistsError(KustoError):
    """A name is already taken by an entity of the same kind.

    Args:
        kind: such as ``"Table"``.
        name: the name that is taken.
    """

    default_code = "BadRequest_EntityAlreadyExists"

    def __init__(
        self,
        message: str | None = None,
        *,
        kind: str = "Entity",
        name: str = "",
        container: str | None = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        if message is None:
            message = f"{kind} '{name}' already exists" + (f" in {container}." if container else ".")
        super().__init__(message, remedy=remedy, code=code)


# -- the language ---------------------------------------------------------------------------------


class KqlError(KustoError):
    """The text of a query or command is at fault."""

    default_code = "General_BadRequest"


def _caret_lines(text: str, line: int, column: int, length: int) -> str:
    lines = text.splitlines() or [""]
    if not 1 <= line <= len(lines):
        return ""
    source = lines[line - 1]
    start = max(0, min(column - 1, len(source)))
    # Long lines are cut to a window, so that the caret stays under its place in a terminal.
    offset = max(0, start - 60)
    window = source[offset : offset + 120]
    pad = "".join("\t" if ch == "\t" else " " for ch in window[: start - offset])
    carets = "^" * max(1, min(length, len(window) - (start - offset)))
    return f"{window}\n{pad}{carets}"


class KqlSyntaxError(KqlError):
    """The text does not parse.

    Args:
        message: what was expected, and what stands there.
        line: line of the place, from 1.
        column: column of the place, from 1.
        text: the whole query or command, from which the caret line is made; not kept.
        length: how many characters the caret underlines.

    Attributes:
        caret: the line at fault and a line of ``^`` under the place, or an empty string.
    """

    default_code = "SYN0002"

    def __init__(
        self,
        message: str,
        line: int = 1,
        column: int = 1,
        text: str = "",
        *,
        code: str | None = None,
        remedy: str | None = None,
        length: int = 1,
    ) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.line = line
        self.column = column
        self.caret = redact(_caret_lines(text, line, column, length)) if text else ""

    def __str__(self) -> str:
        head = f"Syntax error: {self.message} [line:position={self.line}:{self.column}]"
        tail = f"\n{self.remedy}" if self.remedy else ""
        return f"{head}\n{self.caret}{tail}" if self.caret else f"{head}{tail}"


class KqlSemanticError(KqlError):
    """The text parses, but names or types in it make no sense.

    Args:
        line: line of the place, from 1, where known.
        column: column of the place, from 1, where known.
        text: the whole query, from which the caret line is made; not kept.
        name: the unknown name, if that is the matter.
        candidates: names that would have been valid; the nearest is offered.
    """

    default_code = "SEM0100"

    def __init__(
        self,
        message: str,
        line: int | None = None,
        column: int | None = None,
        text: str = "",
        *,
        code: str | None = None,
        remedy: str | None = None,
        name: str | None = None,
        candidates: Iterable[str] = (),
        length: int = 1,
    ) -> None:
        self.name = name
        self.suggestion = nearest(name, candidates) if name else None
        if remedy is None and self.suggestion is not None:
            remedy = f"Did you mean '{self.suggestion}'?"
        super().__init__(message, remedy=remedy, code=code)
        self.line = line
        self.column = column
        located = bool(text) and line is not None and column is not None
        self.caret = redact(_caret_lines(text, line or 1, column or 1, length)) if located else ""

    def __str__(self) -> str:
        place = f" [line:position={self.line}:{self.column}]" if self.line is not None else ""
        head = f"Semantic error: {self.code}: {self.message}{place}"
        if self.caret:
            head = f"{head}\n{self.caret}"
        if self.remedy:
            head = f"{head}\n{self.remedy}" if self.caret else f"{head} {self.remedy}"
        return head


class QueryError(KustoError):
    """The query was understood and failed while it ran."""

    default_code = "General_InternalServerError"


class QueryLimitError(QueryError):
    """A limit on rows, bytes or memory was hit; the result would have been cut short.

    Codes are Kusto's: ``E_QUERY_RESULT_SET_TOO_LARGE``, ``E_RUNAWAY_QUERY``, ``E_LOW_MEMORY_CONDITION``.
    """

    default_code = "E_QUERY_RESULT_SET_TOO_LARGE"


class QueryTimeoutError(QueryError):
    """The query took longer than its server timeout."""

    default_code = "Request_ExecutionTimeout"
    default_permanent = False


# -- services and staging -------------------------------------------------------------------------


class ServiceError(KustoError):
    """A remote service answered with an error, or could not be reached.

    Args:
        status: the HTTP status, if there was an answer.
        activity_id: the service's own id of the request, for its support.
    """

    default_code = "General_InternalServerError"
    default_permanent = False

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        code: str | None = None,
        permanent: bool | None = None,
        status: int | None = None,
        activity_id: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, code=code, permanent=permanent)
        self.status = status
        self.activity_id = activity_id


class StagingError(KustoError):
    """Blobs on their way between a writer and a cluster: upload, listing or clean-up failed."""

    default_code = "Download_Forbidden"
    default_permanent = False


# -- ingestion ------------------------------------------------------------------------------------


class IngestError(KustoError):
    """Rows could not be stored; nothing of the operation is visible."""

    default_code = "BadRequest_InvalidIngestion"


class SchemaMismatchError(IngestError):
    """The columns of the data and those of the table do not fit.

    Args:
        columns: names of the columns at fault.
    """

    default_code = "BadRequest_IncompatibleSchema"

    def __init__(
        self,
        message: str,
        *,
        columns: Iterable[str] = (),
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.columns = tuple(columns)


class TypeConversionError(SchemaMismatchError):
    """A column's type cannot be stored, or one of its values does not fit.

    Args:
        column: the column's name.
        row: number of the first row that does not fit, from 0 within the data given, or None when
            the whole column's type is refused.
    """

    default_code = "BadRequest_InvalidValue"

    def __init__(
        self,
        message: str,
        *,
        column: str | None = None,
        row: int | None = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, columns=() if column is None else (column,), remedy=remedy, code=code)
        self.column = column
        self.row = row


class IngestConflictError(IngestError):
    """The ingest operation was aborted, its lease ran out, or a change to the table overtook it."""

    default_code = "BadRequest_OperationConflict"


# -- the embedded cluster's directory -------------------------------------------------------------


class StorageError(KustoError):
    """The embedded cluster's directory cannot be used, or holds something unexpected."""

    default_code = "General_InternalServerError"


class NotAClusterError(StorageError):
    """The path is a file, or a directory that holds something other than an embedded cluster."""


class NewerFormatError(StorageError):
    """The directory was written by a newer version of this package."""


class NetworkFileSystemError(StorageError):
    """The directory is on a network file system, where concurrent access would lose data."""


class StorageFullError(StorageError):
    """No space is left on the device; nothing of the operation was committed."""

    default_permanent = False


class StorageBusyError(StorageError):
    """Another process held the catalog for longer than this one waits."""

    default_permanent = False


class CorruptExtentError(StorageError):
    """A data file of an extent is missing, cut short or unreadable.

    Args:
        extent_id: the extent's id.
        path: its file.
    """

    def __init__(
        self,
        message: str,
        *,
        extent_id: str | None = None,
        path: str | None = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.extent_id = extent_id
        self.path = path


class SnapshotExpiredError(StorageError):
    """The files that a snapshot names have been removed after their grace period."""
