"""What a storage service's refusals mean: trying again where that helps, and errors that say what to do.

Azure's exceptions, and the log records of the HTTP libraries below them, carry URLs with signatures. None of
them gets out of here: every one is replaced by a StagingError that names the step, the container and the
reason.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import parse_qs

from spark_kusto.errors import KustoError, StagingError, redact
from spark_kusto.staging.containers import ContainerAddress

__all__ = ["Attempt", "Retries", "guard_transport_logs", "refusal", "sas_expiry", "sas_lacks"]

log = logging.getLogger("spark_kusto.staging")

T = TypeVar("T")

NO_CONTAINER = "ContainerNotFound"
"""``code`` of the error for a container that does not exist."""

_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_PERMISSION_NAMES = {
    "r": "read",
    "a": "add",
    "c": "create",
    "w": "write",
    "d": "delete",
    "x": "delete version",
    "l": "list",
    "t": "tags",
}


# -- what a SAS says about itself -----------------------------------------------------------------


def sas_expiry(token: str) -> datetime | None:
    """When a SAS ends, in UTC; None when a stored access policy decides or it cannot be read."""
    return _moment_in(token, "se")


def _moment_in(token: str, field_name: str) -> datetime | None:
    text = parse_qs(token).get(field_name, [""])[0]
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)


def sas_lacks(token: str, needed: str) -> str:
    """The permissions, of those needed, that a SAS does not have, in words; empty when it has them all.

    A SAS under a stored access policy (``si``) does not tell, and is taken to have them.
    """
    fields = parse_qs(token)
    if "sp" not in fields:
        return ""
    held = fields["sp"][0]
    # Write includes what create allows.
    lacking = [p for p in needed if p not in held and not (p == "c" and "w" in held)]
    return " and ".join(f"{_PERMISSION_NAMES.get(p, p)} ('{p}')" for p in lacking)


# -- errors ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """What is being tried, for errors and retries.

    Args:
        step: such as ``"upload blob 'x'"``, read after "could not".
        address: the container.
        sas: the SAS in use, if any, to explain a refusal from it.
        is_made: the SAS was made by the driver, and not given by the user.
        needs: the permissions that the step needs, as letters of a SAS.
        access: the kind of right in use, such as ``"account key"``.
    """

    step: str
    address: ContainerAddress
    sas: str | None = field(default=None, repr=False)
    needs: str = ""
    access: str = "SAS"
    is_made: bool = False


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%SZ")


def _explain(attempt: Attempt, status: int | None, code: str) -> tuple[str, str | None, bool]:
    """Why a request was refused, what to do, and whether trying again unchanged is pointless."""
    container = attempt.address.container
    if code == NO_CONTAINER:
        return f"container '{container}' does not exist", "Create it, or correct its name.", True
    if code == "ContainerBeingDeleted":
        return (
            f"container '{container}' is being deleted",
            "Wait until it is gone, then create it again.",
            True,
        )
    if code in ("BlobNotFound", "ResourceNotFound") or (status == 404 and not code):
        return (
            "the blob is not there (any more)",
            "Staged blobs go when their transaction ends or expires; run the read or write again.",
            True,
        )
    if code in ("ConditionNotMet", "TargetConditionNotMet"):
        return "the blob was replaced or deleted meanwhile", "Run the read again.", True
    if code == "InvalidRange":
        return (
            "the blob is shorter than what was staged",
            "Something else changed it; run the job again.",
            True,
        )
    if code in ("BlobAlreadyExists", "BlobImmutableDueToPolicy", "LeaseIdMissing", "SnapshotsPresent"):
        return f"the service refused ({code})", None, True
    if status in (401, 403):
        return (*_explain_denial(attempt, code), True)
    if status is not None:
        label = f"{status} {code}".strip()
        return f"the service answered {label}", None, status not in _TRANSIENT_STATUS
    return "the service did not answer", None, False


def _explain_denial(attempt: Attempt, code: str) -> tuple[str, str | None]:
    label = code or "access denied"
    if attempt.sas is not None:
        expires = sas_expiry(attempt.sas)
        if expires is not None and expires <= datetime.now(timezone.utc):
            if attempt.is_made:
                return (
                    f"the SAS that the driver made for this job expired at {_moment(expires)}",
                    "Give a longer readExpiry to reads, stagingSasLifetime to writes, or use write_kusto.",
                )
            return (
                f"the SAS expired at {_moment(expires)}",
                "Give a fresh one, or an account key or Entra credential, from which the driver renews SAS.",
            )
        begins = _moment_in(attempt.sas, "st")
        if begins is not None and begins > datetime.now(timezone.utc):
            return (
                f"the SAS is not valid before {_moment(begins)}",
                "Give one that is valid now; clocks of the service and of this machine may differ.",
            )
        lacking = sas_lacks(attempt.sas, attempt.needs)
        if lacking:
            return f"the SAS lacks the permission to {lacking}", "Give a SAS that has it."
        return (
            f"the service refused the SAS ({label})",
            "Check that it is whole, for this container, of a present key, and that network rules allow it.",
        )
    if attempt.access == "Entra credential":
        return (
            f"the service refused the Entra identity ({label})",
            "It needs the roles Storage Blob Data Contributor and Storage Blob Delegator.",
        )
    if code == "KeyBasedAuthenticationNotPermitted":
        return "the account takes no keys", "Give an Entra credential instead."
    if code == "AuthorizationFailure":
        return (
            f"the service refused the {attempt.access}, or its network rules refuse this machine ({label})",
            f"Check the {attempt.access} and the account's firewall.",
        )
    return (
        f"the service refused the {attempt.access} ({label})",
        f"Check the {attempt.access}; it may have been rotated.",
    )


def refusal(attempt: Attempt, problem: BaseException) -> StagingError:
    """The StagingError for something that Azure's libraries raised; it holds no reference to the original."""
    status = getattr(problem, "status_code", None)
    code = str(
        getattr(getattr(problem, "error_code", None), "value", getattr(problem, "error_code", None)) or ""
    )
    if isinstance(problem, StagingError):
        return problem
    if isinstance(problem, KustoError):  # a credential says itself what is the matter
        reason, remedy, permanent = problem.message.rstrip("."), problem.remedy, problem.permanent
    elif not code and (status is None or status < 400):
        reason, remedy, permanent = _explain_no_answer(attempt, problem)
    else:
        reason, remedy, permanent = _explain(attempt, status, code)
    return StagingError(
        f"Could not {attempt.step} in container '{attempt.address.url}': {reason}.",
        remedy=remedy,
        permanent=permanent,
        code=code if code == NO_CONTAINER else None,
    )


def _explain_no_answer(attempt: Attempt, problem: BaseException) -> tuple[str, str | None, bool]:
    name = type(problem).__name__
    if name == "ClientAuthenticationError" or name == "CredentialUnavailableError":
        return (
            f"no token could be had from the Entra credential: {_first_line(problem)}",
            "Check the credential's options; `az login` renews the Azure CLI's.",
            True,
        )
    text = _first_line(problem)
    if "resolve" in text.lower() or "Name or service not known" in text or "nodename nor servname" in text:
        return (
            f"the host of account '{attempt.address.account}' is unknown",
            "Check the account's name and the endpoint suffix.",
            False,
        )
    if not _is_transient(problem):
        return f"{name}: {text}", None, True
    return (
        f"the connection failed ({text or name})",
        "Check that this machine reaches the storage account.",
        False,
    )


def _first_line(problem: BaseException) -> str:
    text = redact(str(problem).strip().splitlines()[0] if str(problem).strip() else "")
    return text if len(text) <= 300 else text[:297] + "..."


# -- trying again ---------------------------------------------------------------------------------


def _is_transient(problem: BaseException) -> bool:
    if isinstance(problem, KustoError):
        return not problem.permanent
    status = getattr(problem, "status_code", None)
    if status is not None and status >= 400:
        return status in _TRANSIENT_STATUS
    names = {cls.__name__ for cls in type(problem).__mro__}
    return (
        bool(
            names
            & {
                "ServiceRequestError",
                "ServiceResponseError",
                "IncompleteReadError",
                "DecodeError",
                "HttpResponseError",  # with a good status or none: the body broke off
                "ConnectionError",
                "TimeoutError",
                "HTTPException",
            }
        )
        and "ClientAuthenticationError" not in names
    )


def _retry_after(problem: BaseException) -> float:
    headers: Any = getattr(getattr(problem, "response", None), "headers", None) or {}
    try:
        return min(60.0, float(headers.get("Retry-After", 0)))
    except (TypeError, ValueError):
        return 0.0


@dataclass(frozen=True)
class Retries:
    """How often and how long to try again.

    Args:
        attempts: tries in all, the first one included.
        first_delay: seconds before the second try; doubled each time, with jitter.
        longest_delay: seconds, at most, between two tries.
    """

    attempts: int = 7
    first_delay: float = 0.3
    longest_delay: float = 20.0

    def run(self, attempt: Attempt, call: Callable[[], T]) -> T:
        """Call until it succeeds, fails for good, or tries run out.

        Raises:
            StagingError: in place of whatever the last try raised.
        """
        delay = self.first_delay
        for number in range(1, max(1, self.attempts) + 1):
            try:
                return call()
            except Exception as problem:  # noqa: BLE001 - whatever it is, only its redacted reason may go on
                failure = refusal(attempt, problem)
                again = number < self.attempts and _is_transient(problem)
                pause = max(delay * random.uniform(0.5, 1.0), _retry_after(problem))
            if not again:
                # Raised outside the handler, so that not even __context__ leads to the original.
                if number > 1 and not failure.permanent:
                    raise StagingError(
                        f"{failure.message} Tried {number} times.",
                        remedy=failure.remedy,
                        permanent=failure.permanent,
                    )
                raise failure
            log.info(
                "%s Trying again in %.1f s (%d of %d).", failure.message, pause, number + 1, self.attempts
            )
            time.sleep(pause)
            delay = min(delay * 2, self.longest_delay)
        raise AssertionError("unreachable")


# -- logs below us --------------------------------------------------------------------------------


class _Redacting(logging.Filter):
    """Takes signatures out of records that HTTP libraries log (urllib3 prints whole URLs at DEBUG)."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        return True


_REDACTING = _Redacting()


def guard_transport_logs() -> None:
    """Make the loggers of the HTTP libraries redact SAS; harmless when repeated."""
    for name in (
        "urllib3.connectionpool",
        "urllib3.util.retry",
        "azure.core.pipeline.policies.http_logging_policy",
    ):
        logging.getLogger(name).addFilter(_REDACTING)
