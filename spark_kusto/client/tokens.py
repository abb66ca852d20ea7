"""Credential objects for Azure's libraries: where tokens come from, and errors that hold no secret.

``auth`` makes them from options.
"""

from __future__ import annotations

import base64
import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from spark_kusto.errors import AuthenticationError, KustoError, OptionError, redact
from spark_kusto.staging.azure_extra import require

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential

__all__ = ["Credential", "CredentialDescription", "ProvidedToken", "StaticToken", "first_line"]


@dataclass(frozen=True)
class CredentialDescription:
    """How a job signs in, without secrets: for ``explain``, logs and errors.

    Attributes:
        method: in words, such as ``"application and secret"``.
        application: the client id, where there is one.
        tenant: tenant id or domain, where it was given.
        source: a certificate's path, a function's name or a vault's address.
        option: the option that chose the method.
    """

    method: str
    application: str | None = None
    tenant: str | None = None
    source: str | None = None
    option: str = ""

    def __str__(self) -> str:
        details = [
            f"{label} {value}"
            for label, value in (
                ("application", self.application),
                ("tenant", self.tenant),
                ("from", self.source),
            )
            if value
        ]
        return f"{self.method} ({', '.join(details)})" if details else self.method


class Credential:
    """A credential for Azure's libraries (``get_token``), with errors that say what to do and hold no secret.

    Not picklable: each process makes its own from the options.

    Attributes:
        description: how it signs in, without secrets.
    """

    def __init__(self, description: CredentialDescription, make: Callable[[], TokenCredential]) -> None:
        self.description = description
        self._make = make
        self._inner: TokenCredential | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Credential({self.description})"

    def __reduce__(self) -> NoReturn:
        raise AuthenticationError(
            f"A credential ({self.description.method}) is not pickled.",
            remedy="Make it anew in the other process, from the options, or hand over a token.",
        )

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **arguments: Any,
    ) -> AccessToken:
        """A token for the scopes.

        Raises:
            AuthenticationError: none could be had; says with which method and why.
        """
        extra = {"claims": claims, "tenant_id": tenant_id, "enable_cae": enable_cae or None, **arguments}
        wanted = {name: value for name, value in extra.items() if value is not None}
        token: AccessToken = self._ask(lambda inner: inner.get_token(*scopes, **wanted))
        return token

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        """A token for the scopes, in the newer form of Azure's libraries.

        Raises:
            AuthenticationError: none could be had; says with which method and why.
        """
        core = require("azure.core.credentials", "sign in")
        known = dict(options or {})
        token = self.get_token(
            *scopes,
            claims=known.get("claims"),
            tenant_id=known.get("tenant_id"),
            enable_cae=bool(known.get("enable_cae")),
        )
        info: AccessTokenInfo = core.AccessTokenInfo(token.token, token.expires_on)
        return info

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            inner, self._inner = self._inner, None
        if inner is not None and hasattr(inner, "close"):
            inner.close()

    def open(self) -> Credential:
        """Make the underlying credential now, so that its errors come early."""
        self._ask(lambda inner: inner)
        return self

    def _ask(self, call: Callable[[TokenCredential], Any]) -> Any:
        try:
            with self._lock:
                if self._inner is None:
                    self._inner = self._make()
                inner = self._inner
            return call(inner)
        except KustoError:
            raise
        except Exception as problem:  # noqa: BLE001 - only its redacted first line may go on
            reason = first_line(problem)
        # Outside the handler, so that no __context__ leads to an exception that may hold a secret.
        raise AuthenticationError(
            f"Could not get a token with {self.description}: {reason}",
            remedy=_remedy(self.description, reason),
        )


def first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    text = redact(lines[0]) if lines else type(problem).__name__
    return text if len(text) <= 500 else text[:497] + "..."


def _remedy(description: CredentialDescription, reason: str) -> str:
    if "AADSTS7000215" in reason or "AADSTS7000222" in reason:
        return f"The application's secret is wrong or has expired; check option '{description.option}'."
    if "AADSTS700016" in reason or "AADSTS90002" in reason:
        return "Check kustoAadAppId and kustoAadAuthorityID: the tenant does not know the application."
    if "AADSTS700027" in reason:
        return "The certificate is not registered with the application, or has expired."
    if "Azure CLI" in reason or description.method == "Azure CLI":
        return "Run `az login` on the driver."
    return f"Check option '{description.option}' and the others of this method."


class StaticToken:
    """``accessToken``: used as it is, until it ends."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._expires = _expiry(token)

    def get_token(self, *scopes: str, **arguments: Any) -> AccessToken:
        if self._expires is not None and self._expires <= time.time():
            moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self._expires))
            raise AuthenticationError(
                f"The access token given in option 'accessToken' expired at {moment}.",
                remedy="Give a fresh one; 'tokenProvider' and applications renew theirs.",
            )
        core = require("azure.core.credentials", "sign in")
        token: AccessToken = core.AccessToken(self._token, int(self._expires or time.time() + 3600))
        return token


class ProvidedToken:
    """``tokenProvider``: a function of the user's, asked again when its token runs out."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self._name = name
        self._function = _load(name)
        self._options = dict(options)
        self._held: tuple[str, float] | None = None
        self._lock = threading.Lock()

    def get_token(self, *scopes: str, **arguments: Any) -> AccessToken:
        core = require("azure.core.credentials", "sign in")
        with self._lock:
            if self._held is None or self._held[1] - 300 <= time.time():
                self._held = self._call(scopes)
            text, expires = self._held
        token: AccessToken = core.AccessToken(text, int(expires))
        return token

    def _call(self, scopes: tuple[str, ...]) -> tuple[str, float]:
        function = self._function
        if hasattr(function, "get_token") and not isinstance(function, type):
            answer = function.get_token(*scopes)
        elif _takes_argument(function):
            answer = function(self._options)
        else:
            answer = function()
        if hasattr(answer, "get_token"):
            answer = answer.get_token(*scopes)
        if isinstance(answer, tuple) and len(answer) >= 2:
            text, expires = answer[0], answer[1]
        else:
            text, expires = getattr(answer, "token", answer), getattr(answer, "expires_on", None)
        if not isinstance(text, str) or not text:
            raise AuthenticationError(
                f"The token provider '{self._name}' returned a {type(answer).__name__} and not a token.",
                remedy="Return the token as text, or (token, expires_on).",
            )
        # A token that does not tell when it ends is asked for anew every time.
        return text, float(expires if expires is not None else _expiry(text) or time.time() + 300)


def _takes_argument(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
        and (p.default is p.empty or p.kind == p.VAR_POSITIONAL)
        for p in parameters
    )


def _load(path: str) -> Any:
    module_name, colon, attribute = path.partition(":")
    if not colon:
        module_name, _, attribute = path.rpartition(".")
    reason = ""
    try:
        found: Any = import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as problem:
        reason = first_line(problem)
    if reason or not module_name or not (callable(found) or hasattr(found, "get_token")):
        raise OptionError(
            f"Option 'tokenProvider' names '{path}': {reason or 'that is no function'}.",
            remedy="Give 'module:function' of a Python function that is importable on the driver.",
        )
    return found


def _expiry(token: str) -> float | None:
    """When a JWT ends, in seconds since 1970; None for tokens that are none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None
