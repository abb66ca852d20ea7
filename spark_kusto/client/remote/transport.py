"""Requests to a cluster's REST API: signing in, request ids, time limits, and trying again.

A thin layer over ``requests`` rather than azure-kusto-data's client: that one gives neither frames as they
arrive nor a second try, wraps errors twice, and knows no embedded server. What is its own, the list of hosts
that a token may be sent to, is asked of it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spark_kusto.client.remote.failures import failure_of, failure_of_answer
from spark_kusto.client.remote.frames import AnswerCutError, PartialFailure
from spark_kusto.client.tokens import Credential
from spark_kusto.errors import AuthenticationError, KustoError, OptionError, ServiceError
from spark_kusto.staging.azure_extra import require
from spark_kusto.version import __version__

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

log = logging.getLogger("spark_kusto.client")

__all__ = ["DEFAULT_RESOURCE", "Backoff", "BearerToken", "Transport", "as_it_is", "is_loopback"]

API_VERSION = "2024-12-12"
DEFAULT_RESOURCE = "https://kusto.kusto.windows.net"
QUERY_SECONDS = 240.0
"""What the service gives a query by itself."""
COMMAND_SECONDS = 3600.0
"""What it gives a command by itself, and a query at most."""

_CONNECT_SECONDS = 30.0
_SLACK_SECONDS = 30.0
_RENEW_SECONDS = 300.0
_PIECE = 64 * 1024
_BUSY = frozenset({408, 429, 502, 503})


def as_it_is(request: Any) -> Any:
    """The ``auth`` of a request that signs in by itself, or not at all.

    Without one, ``requests`` puts what ~/.netrc has for the host in place of the token.
    """
    return request


@dataclass(frozen=True)
class Backoff:
    """How often and how long to try again: tries, and seconds before the second, doubled up to the most."""

    attempts: int = 5
    first_delay: float = 1.0
    longest_delay: float = 20.0

    def pause(self, number: int, asked: float = 0.0) -> float:
        """Seconds before another try, after ``number`` of them; ``asked`` is what the service wants."""
        delay: float = min(self.first_delay * 2 ** (number - 1), self.longest_delay)
        return max(delay * random.uniform(0.5, 1.0), min(asked, 120.0))


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's."""
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True)
class BearerToken:
    """A token that the driver handed over; used until it ends, never renewed. Prints without itself."""

    token: str = field(repr=False)
    expires: float


_transports: weakref.WeakSet[Transport] = weakref.WeakSet()


def _unlock_transports() -> None:
    # Another thread of the parent may have held one, and there is no such thread in the child.
    for transport in list(_transports):
        transport._guard = threading.RLock()


os.register_at_fork(after_in_child=_unlock_transports)


class Transport:
    """Speaks to one endpoint. Safe to use from several threads, and in processes forked meanwhile.

    Args:
        address: URL of the endpoint; a path in it is kept.
        credential: an azure-identity credential; None sends no token.
        token: one that another process got, in place of a credential.
        request_id: prefix of the ids of its requests.
        backoff: how often to try again.

    Raises:
        OptionError: a token would be sent without encryption to another machine.
    """

    def __init__(
        self,
        address: str,
        *,
        credential: TokenCredential | None = None,
        token: BearerToken | None = None,
        request_id: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self.backoff = backoff or Backoff()
        self.request_id = request_id or "spark-kusto"
        self._credential = credential
        self._handed = token
        self._held: BearerToken | None = token
        self._resource: str | None = None
        self._sessions: dict[int, Any] = {}
        self._guard = threading.RLock()
        _transports.add(self)
        self._requests = require("requests", "reach a cluster over HTTP")
        is_plain = self.address.startswith("http:") and not is_loopback(self.address)
        if is_plain and (credential is not None or token is not None):
            raise OptionError(
                f"A token would be sent to '{self.address}' without encryption.",
                remedy="Write https://, or leave out how to sign in.",
            )

    def __repr__(self) -> str:
        return f"Transport({self.address!r})"

    def close(self) -> None:
        """Close its connections."""
        with self._guard:
            for pid, session in self._sessions.items():
                if pid == os.getpid():
                    session.close()
            self._sessions.clear()

    # -- signing in -------------------------------------------------------------------------------

    @property
    def signs_in(self) -> bool:
        """Whether requests carry a token."""
        return self._credential is not None or self._handed is not None

    def bearer(self, *, fresh: bool = False) -> BearerToken | None:
        """A token with some time left; None where nobody signs in.

        Raises:
            AuthenticationError: none could be had, or the one that was handed over has ended.
        """
        with self._guard:
            held = self._held
            if self._credential is None:
                if held is not None and (fresh or held.expires <= time.time()):
                    raise AuthenticationError(
                        f"The token for '{self.address}' that the driver handed to this task has ended.",
                        remedy="Read with ForceDistributedMode, whose tasks need no token of the cluster, or"
                        " in more and smaller parts (numPartitions and partitionColumn).",
                    )
                return held
            if fresh and isinstance(self._credential, Credential):
                # Its memory would give the same token again; it is made anew when it is asked.
                self._credential.close()
            if held is None or fresh or held.expires - _RENEW_SECONDS <= time.time():
                found = self._credential.get_token(f"{self._resource_id()}/.default")
                held = self._held = BearerToken(found.token, float(found.expires_on))
            return held

    def _resource_id(self) -> str:
        """What tokens are asked for; the cluster says it, and must be one of Kusto's."""
        if self._resource is None:
            endpoint, resource = "https://login.microsoftonline.com", DEFAULT_RESOURCE
            if not is_loopback(self.address):
                endpoint, resource = self._metadata(endpoint, resource)
                trusted = require("azure.kusto.data.kusto_trusted_endpoints", "know a Kusto host by its name")
                try:
                    trusted.well_known_kusto_endpoints.validate_trusted_endpoint(self.address, endpoint)
                except Exception:  # noqa: BLE001 - one reason, said better below
                    raise AuthenticationError(
                        f"'{self.address}' is not known as a host of Kusto, and a token is sent to no other.",
                        remedy="Check kustoCluster; a host of your own is made known by add_trusted_hosts of"
                        " azure.kusto.data.kusto_trusted_endpoints.well_known_kusto_endpoints.",
                    ) from None
            self._resource = resource
        return self._resource

    def _metadata(self, endpoint: str, resource: str) -> tuple[str, str]:
        parts = urlsplit(self.address)
        url = f"{parts.scheme}://{parts.netloc}/v1/rest/auth/metadata"
        for number in range(1, self.backoff.attempts + 1):
            try:
                answer = self._session().get(
                    url, auth=as_it_is, timeout=_CONNECT_SECONDS, allow_redirects=False
                )
            except self._requests.RequestException as problem:
                if number == self.backoff.attempts:
                    raise self._unreachable(problem, "ask how to sign in") from None
                time.sleep(self.backoff.pause(number))
                continue
            if answer.status_code in _BUSY and number < self.backoff.attempts:
                time.sleep(self.backoff.pause(number))
                continue
            try:
                known = answer.json().get("AzureAD") if answer.status_code == 200 else None
            except ValueError:
                known = None
            if isinstance(known, Mapping):
                return str(known.get("LoginEndpoint") or endpoint), str(
                    known.get("KustoServiceResourceId") or resource
                )
            break
        return endpoint, resource

    # -- requests ---------------------------------------------------------------------------------

    def _session(self) -> Any:
        pid = os.getpid()
        with self._guard:
            found = self._sessions.get(pid)
            if found is None:
                found = self._sessions[pid] = self._requests.Session()
            return found

    def headers(self, activity: str, properties: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Headers of a request, without the token."""
        own = next(
            (
                str(v)
                for k, v in (properties or {}).items()
                if k.lower() in ("clientrequestid", "client_request_id")
            ),
            None,
        )
        made = own or f"{self.request_id};{activity};{uuid.uuid4()}"
        return {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "x-ms-version": API_VERSION,
            "x-ms-app": "spark-kusto",
            "x-ms-client-version": f"spark-kusto:{__version__}",
            "x-ms-client-request-id": made.encode("ascii", "replace").decode(),
        }

    def send(
        self,
        path: str,
        *,
        step: str,
        activity: str,
        body: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        properties: Mapping[str, Any] | None = None,
        seconds: float,
        repeatable: bool,
        whole: bool = True,
    ) -> Answer:
        """Send a request and take its answer, trying again where that cannot do it twice.

        Args:
            path: below the address.
            step: for errors, to be read after "could not".
            activity: part of the request's id.
            body: sent as JSON.
            data: sent as it is.
            headers: more headers.
            properties: of the request, for its id.
            seconds: that the service takes at most.
            repeatable: doing it twice is the same as doing it once.
            whole: read the whole answer here, so that one that is cut short is asked for again.

        Raises:
            KustoError: what the service says, or that it cannot be reached.
        """
        url = f"{self.address}/{path}"
        renewed = False
        number = 0
        while True:
            number += 1
            sent = {**self.headers(activity, properties), **(headers or {})}
            if body is not None:
                sent["Content-Type"] = "application/json; charset=utf-8"
            token = self.bearer()
            if token is not None:
                sent["Authorization"] = f"Bearer {token.token}"
            try:
                response = self._session().post(
                    url,
                    data=data if body is None else json.dumps(body, ensure_ascii=False).encode(),
                    headers=sent,
                    auth=as_it_is,
                    timeout=(_CONNECT_SECONDS, seconds + _SLACK_SECONDS),
                    stream=True,
                    allow_redirects=False,
                )
                answer = Answer(self, response, step)
                if response.status_code == 200:
                    if whole:
                        answer.read()
                    return answer
                failure = answer.failure()
                again = response.status_code in _BUSY and (repeatable or response.status_code == 429)
                again = again or (repeatable and not failure.permanent and response.status_code >= 500)
                again = again and response.status_code != 504
                asked = _retry_after(response)
                if response.status_code == 401 and self._credential is not None and not renewed:
                    # The token may have been withdrawn before its end.
                    renewed = True
                    self.bearer(fresh=True)
                    number -= 1
                    continue
            except self._requests.RequestException as problem:
                failure = self._unreachable(problem, step)
                again, asked = repeatable or self._never_sent(problem), 0.0
            if not again or number >= self.backoff.attempts:
                raise failure
            pause = self.backoff.pause(number, asked)
            log.info("%s Trying again in %.1f s.", failure.message, pause)
            time.sleep(pause)

    def _never_sent(self, problem: Exception) -> bool:
        if isinstance(problem, self._requests.exceptions.ConnectTimeout):
            return True
        text = str(problem)
        return isinstance(problem, self._requests.exceptions.ConnectionError) and (
            "NewConnectionError" in text or "Failed to establish a new connection" in text
        )

    def _unreachable(self, problem: Exception, step: str) -> KustoError:
        errors = self._requests.exceptions
        if isinstance(problem, errors.SSLError):
            return ServiceError(
                f"The certificate of '{self.address}' is not trusted: {_reason(problem)}.",
                remedy="Check the address; for a proxy with a certificate of its own set REQUESTS_CA_BUNDLE.",
                permanent=True,
            )
        if isinstance(problem, errors.Timeout):
            what = f"Cluster '{self.address}' did not answer in time to {step}."
        else:
            what = f"Cluster '{self.address}' could not be reached to {step}: {_reason(problem)}."
        remedy = "Check the address, the network and the firewall, and that the cluster is running."
        alias = self.address.removeprefix("https://").removesuffix(".kusto.windows.net")
        if "NameResolutionError" in repr(problem) and f"https://{alias}.kusto.windows.net" == self.address:
            remedy = (
                f"Check the name and the network; an embedded cluster's directory is written './{alias}'."
            )
        return ServiceError(what, remedy=remedy)


def _reason(problem: Exception) -> str:
    """The innermost reason of a chain of exceptions, in one line."""
    inner: BaseException = problem
    for _ in range(8):
        below = getattr(inner, "reason", None)
        if not isinstance(below, BaseException):
            below = next((a for a in inner.args if isinstance(a, BaseException)), None)
        if below is None:
            break
        inner = below
    text = str(inner).strip() or type(inner).__name__
    text = text.rpartition(">: ")[2] or text
    return text.splitlines()[0][:300].rstrip(".")


def _retry_after(response: Any) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0


class Answer:
    """An answer of 200, whole or still arriving."""

    def __init__(self, transport: Transport, response: Any, step: str) -> None:
        self._transport = transport
        self._response = response
        self._step = step
        self._body: bytes | None = None

    def read(self) -> bytes:
        """The whole body."""
        if self._body is None:
            self._body = self._response.content
        return self._body

    @property
    def text(self) -> str:
        """The whole body as text."""
        return self.read().decode("utf-8-sig", "replace")

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives.

        Raises:
            ServiceError: the connection broke.
        """
        if self._body is not None:
            yield self._body
            return
        errors = self._transport._requests
        try:
            yield from self._response.iter_content(_PIECE)
        except errors.RequestException as problem:
            failure = self._transport._unreachable(problem, self._step)
            raise failure from None

    def close(self) -> None:
        """Stop receiving."""
        self._response.close()

    def failure(self) -> KustoError:
        """The error that an answer other than 200 holds."""
        response = self._response
        if 300 <= response.status_code < 400:
            return ServiceError(
                f"Cluster '{self._transport.address}' sends requests elsewhere ({response.status_code}).",
                remedy="Give the address itself; a token is not sent on.",
                permanent=True,
                status=response.status_code,
            )
        return failure_of_answer(
            response.status_code,
            self.text,
            address=self._transport.address,
            step=self._step,
            activity_id=response.headers.get("x-ms-activity-id"),
        )

    def translate(self, problem: Exception) -> KustoError:
        """The error for what is wrong inside an answer of 200."""
        address = self._transport.address
        activity = self._response.headers.get("x-ms-activity-id")
        if isinstance(problem, PartialFailure):
            return failure_of(problem.error, address=address, step=self._step, activity_id=activity)
        assert isinstance(problem, AnswerCutError)
        return ServiceError(
            f"The answer of cluster '{address}' could not be read: {problem}.",
            remedy="Try again; something between may have cut it short.",
            activity_id=activity,
        )


def seconds_of(properties: Mapping[str, object] | None, default: float) -> float:
    """How long the service takes at most for a request with these properties."""
    given = {key.lower(): value for key, value in (properties or {}).items()}
    if str(given.get("norequesttimeout", "")).lower() == "true":
        return COMMAND_SECONDS
    value = given.get("servertimeout")
    if value is None:
        return default
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float):
        return float(value)
    from spark_kusto.types.text import parse_timespan

    ticks = parse_timespan(str(value))
    return default if ticks is None else ticks / 10_000_000
