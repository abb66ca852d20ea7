"""The service's errors as this package's: HTTP statuses, OneAPI error objects, errors inside a 200.

The shapes are those of the Kusto documentation ("Query/management HTTP response", "Query V2 HTTP response").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spark_kusto.errors import (
    AuthenticationError,
    EntityExistsError,
    EntityNotFoundError,
    KqlSemanticError,
    KqlSyntaxError,
    KustoError,
    QueryError,
    QueryLimitError,
    QueryTimeoutError,
    ServiceError,
)

__all__ = ["ApiError", "api_errors", "failure_of", "failure_of_answer"]

_PLACE = re.compile(r"\[line:position=(\d+):(\d+)\]")
_CODE = re.compile(r"\b((?:SEM|SYN|KS)\d{3,5})\b")
_PREFIX = re.compile(r"^.*?(?:Syntax error|Semantic error)\s*:\s*(?:(?:SEM|SYN|KS)\d+:\s*)?", re.DOTALL)
_LIMITS = (
    "E_QUERY_RESULT_SET_TOO_LARGE",
    "E_RUNAWAY_QUERY",
    "E_LOW_MEMORY_CONDITION",
    "80DA0003",
    "80DA0001",
    "80DA0007",
    "LimitsExceeded",
)
_TIMEOUTS = ("Request_ExecutionTimeout", "E_QUERY_TIMEOUT", "Gateway_Timeout", "RequestExecutionTimeout")
_THROTTLED = ("TooManyRequests", "Throttled", "ControlCommandThrottled", "QueryThrottled")


@dataclass(frozen=True)
class ApiError:
    """One error object of an answer.

    Attributes:
        code: such as ``General_BadRequest``, with those of the errors inside it.
        text: what went wrong, in the service's words.
        type: the service's exception, such as ``Kusto.Data.Exceptions.SyntaxException``.
        permanent: whether the service says that trying again is pointless; None where it does not say.
        activity_id: the service's id of the request.
    """

    code: str
    text: str
    type: str = ""
    permanent: bool | None = None
    activity_id: str | None = None


def api_errors(value: Any) -> Iterator[ApiError]:
    """The errors in a parsed answer, or in a row that stands for one."""
    if isinstance(value, str):
        yield ApiError("", value)
    elif isinstance(value, list):
        for item in value:
            yield from api_errors(item)
    elif isinstance(value, Mapping):
        for key in ("OneApiErrors", "Exceptions"):
            if value.get(key):
                yield from api_errors(value[key])
                return
        inner = value.get("error", value.get("Error"))
        if isinstance(inner, Mapping | str):
            yield _one(inner) if isinstance(inner, Mapping) else ApiError("", inner)
        elif "code" in value or "message" in value or "Message" in value:
            yield _one(value)


def _one(value: Mapping[str, Any]) -> ApiError:
    context = value.get("@context")
    codes = [str(value.get("code") or "")]
    inner = value.get("innererror")
    while isinstance(inner, Mapping):
        codes.append(str(inner.get("code") or ""))
        inner = inner.get("innererror")
    text = value.get("@message") or value.get("message") or value.get("Message") or "no reason given"
    permanent = value.get("@permanent")
    return ApiError(
        code=" ".join(code for code in codes if code),
        text=str(text),
        type=str(value.get("@type") or ""),
        permanent=permanent if isinstance(permanent, bool) else None,
        activity_id=str(context["activityId"])
        if isinstance(context, Mapping) and context.get("activityId")
        else None,
    )


def failure_of_answer(
    status: int, body: str, *, address: str, step: str, activity_id: str | None = None
) -> KustoError:
    """The error for an answer whose status is not 200."""
    try:
        found = next(api_errors(json.loads(body)), None)
    except ValueError:
        found = None
    if found is None:
        reason = " ".join(body.split())[:500] or "the answer says no more"
        found = ApiError("", reason)
    return failure_of(found, address=address, step=step, status=status, activity_id=activity_id)


def failure_of(
    error: ApiError, *, address: str, step: str, status: int | None = None, activity_id: str | None = None
) -> KustoError:
    """This package's error for one of the service's.

    Args:
        error: the service's.
        address: of the cluster, for the message.
        step: what was tried, to be read after "could not".
        status: of the answer; None for an error inside a 200.
        activity_id: from the answer's header.
    """
    activity = error.activity_id or activity_id
    told = f" (activity {activity})" if activity else ""
    text = error.text.strip().rstrip(".")
    permanent = error.permanent
    everything = f"{error.code} {error.type} {error.text}"
    if status == 401 or error.code.startswith("Unauthorized"):
        return AuthenticationError(
            f"Cluster '{address}' did not accept who is asking: {text}{told}.",
            remedy="Check how you sign in (docs/credentials.md), and the tenant; a token may have run out.",
        )
    if (
        status == 403
        or error.code.startswith("Forbidden")
        or ("Principal" in text and "not authorized" in text)
    ):
        return AuthenticationError(
            f"Cluster '{address}' refused to {step}: {text}{told}.",
            remedy="Ask for a role on the database: viewer to read, ingestor to write, and table admin to"
            " move or replace extents.",
            code="Forbidden",
        )
    if status == 429 or any(code in error.code for code in _THROTTLED):
        return ServiceError(
            f"Cluster '{address}' is too busy to {step}: {text}{told}.",
            remedy="Try again later, or with less at a time.",
            code="TooManyRequests",
            permanent=False,
            status=status,
            activity_id=activity,
        )
    if "SyntaxException" in error.type or "Syntax error" in error.text:
        line, column = _place(error.text)
        return KqlSyntaxError(
            _bare(error.text), line or 1, column or 1, code=_kql_code(error.text, "SYN0002")
        )
    if "SemanticException" in error.type or "Semantic error" in error.text:
        line, column = _place(error.text)
        return KqlSemanticError(_bare(error.text), line, column, code=_kql_code(error.text, "SEM0100"))
    if any(code in everything for code in _LIMITS):
        code = next((name for name in _LIMITS[:3] if name in everything), _LIMITS[0])
        return QueryLimitError(
            f"{text}{told}.",
            remedy="Ask for fewer rows or columns, or read with ForceDistributedMode.",
            code=code,
        )
    if status == 504 or any(code in everything for code in _TIMEOUTS):
        return QueryTimeoutError(
            f"Cluster '{address}' could not {step} in the time it was given: {text}{told}.",
            remedy="Ask for less, or set the property servertimeout (up to an hour).",
        )
    if "EntityNotFound" in everything:
        return EntityNotFoundError(f"{text}{told}.", kind=_kind(text), name=_name(text), code=error.code)
    if "AlreadyExists" in everything:
        return EntityExistsError(f"{text}{told}.", kind=_kind(text), name=_name(text), code=error.code)
    if permanent is None and status is not None:
        permanent = 400 <= status < 500 and status != 408
    message = f"Cluster '{address}' could not {step}: {text}{told}."
    first = error.code.split()[0] if error.code else None
    if status != 413 and (status in (None, 400) or permanent):
        return QueryError(message, code=first, permanent=bool(permanent))
    return ServiceError(message, code=first, permanent=bool(permanent), status=status, activity_id=activity)


def _place(text: str) -> tuple[int | None, int | None]:
    found = _PLACE.search(text)
    return (None, None) if found is None else (int(found[1]), int(found[2]))


def _kql_code(text: str, default: str) -> str:
    found = _CODE.search(text)
    return default if found is None else found[1]


def _bare(text: str) -> str:
    """The sentence itself, without the words around it that the error's own text repeats."""
    without = _PLACE.sub("", _PREFIX.sub("", text, count=1)).strip()
    return without.splitlines()[0].strip() if without else text.strip()


def _kind(text: str) -> str:
    found = re.search(r"\b([Tt]able|[Dd]atabase|[Cc]olumn|[Ff]unction|[Mm]apping|[Oo]peration)\b", text)
    return "Entity" if found is None else found[1].capitalize()


def _name(text: str) -> str:
    found = re.search(r"'([^']*)'", text)
    return "" if found is None else found[1]
