"""Credentials from options: the official connector's names, through azure-identity.

============================ ======================================================================
application and secret       ``kustoAadAppId``, ``kustoAadAppSecret`` [``kustoAadAuthorityID``]
application and certificate  ``kustoAadAppId``, ``kustoAadAppCertPath`` (PFX or PEM)
                             [``kustoAadAppCertPassword``, ``kustoAadAuthorityID``]
managed identity             ``managedIdentityAuth=true`` [``managedIdentityClientId``]
a token                      ``accessToken``
a token from a function      ``tokenProvider`` = ``module:function``
Key Vault                    ``keyVaultUri`` [``keyVaultAppId``, ``keyVaultAppKey`` or
                             ``keyVaultPemFilePath``]
interactive browser          ``userPrompt=true``
by name                      ``authMethod`` = ``deviceCode``, ``interactiveBrowser``, ``azureCli``,
                             ``workloadIdentity``, ``managedIdentity`` or ``default``
============================ ======================================================================

Names are matched without regard to case; the certificate's options also in the official spelling
(``kuto...``), and the names of releases before 2.0 with a warning. Two methods at once are refused. Nothing
here prints a secret, and credentials are not pickled: every process makes its own from the options.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spark_kusto.client.tokens import (
    Credential,
    CredentialDescription,
    ProvidedToken,
    StaticToken,
    first_line,
)
from spark_kusto.errors import AuthenticationError, OptionError
from spark_kusto.staging.azure_extra import require

if TYPE_CHECKING:
    from datetime import datetime

    from azure.core.credentials import TokenCredential

__all__ = [
    "AUTH_METHODS",
    "AUTH_OPTIONS",
    "Credential",
    "CredentialDescription",
    "credential_from_options",
    "describe_credential",
    "fallback_credential",
    "storage_options_from_key_vault",
]

log = logging.getLogger("spark_kusto.client")

# Today's name of each option, by every name that is accepted, in lower case.
_ALIASES = {
    "kustoaadclientid": "kustoAadAppId",
    "kustoclientaadclientpassword": "kustoAadAppSecret",
    "kutoaadappcertpath": "kustoAadAppCertPath",
    "kutoaadappcertpassword": "kustoAadAppCertPassword",
    "usertoken": "accessToken",
    "tokenprovidercallbackclasspath": "tokenProvider",
    "managedclientid": "managedIdentityClientId",
}
_OLD = frozenset({"kustoaadclientid", "kustoclientaadclientpassword"})

AUTH_OPTIONS = (
    "kustoAadAppId",
    "kustoAadAppSecret",
    "kustoAadAuthorityID",
    "kustoAadAppCertPath",
    "kustoAadAppCertPassword",
    "managedIdentityAuth",
    "managedIdentityClientId",
    "accessToken",
    "tokenProvider",
    "keyVaultUri",
    "keyVaultAppId",
    "keyVaultAppKey",
    "keyVaultPemFilePath",
    "keyVaultPemFileKey",
    "userPrompt",
    "authMethod",
)
"""Every option that this module reads, by today's name."""

AUTH_METHODS = (
    "deviceCode",
    "interactiveBrowser",
    "azureCli",
    "workloadIdentity",
    "managedIdentity",
    "default",
)
"""Values of the option ``authMethod``."""

# Which option chooses which method; two of them together are refused.
_CHOOSERS = (
    "kustoAadAppSecret",
    "kustoAadAppCertPath",
    "managedIdentityAuth",
    "accessToken",
    "tokenProvider",
    "keyVaultUri",
    "userPrompt",
    "authMethod",
)

# The official default is Microsoft's own tenant.
_DEFAULT_TENANT = "microsoft.com"


# -- reading options ------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class _Options:
    """The options of authentication that were given, by today's names."""

    values: Mapping[str, str]
    # The name that the user wrote, for messages.
    written: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"_Options({sorted(self.values)})"

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def name(self, option: str) -> str:
        return self.written.get(option, option)


_NAMES = {name.casefold(): name for name in AUTH_OPTIONS}


def _read(options: Mapping[str, str]) -> _Options:
    values: dict[str, str] = {}
    written: dict[str, str] = {}
    for given, value in options.items():
        folded = given.casefold()
        name = _ALIASES.get(folded) or _NAMES.get(folded)
        if name is None or value is None or not str(value).strip():
            continue
        text = str(value) if name.endswith(("Secret", "Password", "Key")) else str(value).strip()
        if name in values and values[name] != text:
            raise OptionError(
                f"Options '{written[name]}' and '{given}' mean the same and have different values.",
                remedy=f"Give '{name}' alone.",
            )
        if folded in _OLD:
            log.warning("Option '%s' is a name of releases before 2.0; use '%s'.", given, name)
        values[name] = text
        written[name] = given
    for flag in ("managedIdentityAuth", "userPrompt"):
        text = values.get(flag, "false").lower()
        if flag == "managedIdentityAuth" and text not in ("true", "false"):
            raise OptionError(f"Option '{flag}' is '{text}'; it takes true or false.")
        if text == "false":
            values.pop(flag, None)
    return _Options(values, written)


def _authority(options: _Options) -> tuple[str | None, str | None]:
    """Tenant and authority host; ``kustoAadAuthorityID`` may be a tenant or a whole authority URL."""
    text = options.get("kustoAadAuthorityID")
    if text is None:
        return None, None
    if "://" not in text:
        return text, None
    parts = urlsplit(text)
    tenant = parts.path.strip("/")
    if parts.scheme != "https" or not parts.netloc or not tenant or "/" in tenant:
        raise OptionError(
            "Option 'kustoAadAuthorityID' is a URL, but not https://<authority host>/<tenant>.",
            remedy="Give the tenant's id or domain, or such a URL for a national cloud.",
        )
    return tenant, f"https://{parts.netloc}"


def _tenant(options: _Options) -> tuple[str, dict[str, str]]:
    tenant, authority = _authority(options)
    if tenant is None:
        log.warning(
            "Option 'kustoAadAuthorityID' is not given: the application is looked for in the tenant '%s', "
            "as the official connector does.",
            _DEFAULT_TENANT,
        )
        tenant = _DEFAULT_TENANT
    return tenant, {"authority": authority} if authority else {}


def _describe(options: _Options) -> CredentialDescription | None:
    chosen = [name for name in _CHOOSERS if name in options.values]
    application = options.get("kustoAadAppId")
    if len(chosen) > 1:
        first, second = (options.name(name) for name in chosen[:2])
        raise OptionError(
            f"Both option '{first}' and option '{second}' say how to sign in.", remedy="Give one of them."
        )
    tenant = _authority(options)[0]
    method = chosen[0] if chosen else ""
    app_id = options.name("kustoAadAppId")
    if method == "keyVaultUri" and application is not None:
        raise OptionError(
            f"Both option '{app_id}' and option 'keyVaultUri' name the application.",
            remedy="Give keyVaultAppId for the vault; the other application comes out of it.",
        )
    if method in ("kustoAadAppSecret", "kustoAadAppCertPath") and application is None:
        raise OptionError(
            f"Option '{options.name(method)}' is given without 'kustoAadAppId'.",
            remedy="Give the application's client id.",
        )
    if application is not None and method in ("managedIdentityAuth", "accessToken", "tokenProvider"):
        raise OptionError(
            f"Both option '{app_id}' and option '{options.name(method)}' say how to sign in.",
            remedy="Give one of them.",
        )
    if application is not None and not method:
        raise OptionError(
            f"Option '{app_id}' is given without a secret or certificate.",
            remedy="Give kustoAadAppSecret, kustoAadAppCertPath, or authMethod (workloadIdentity ...).",
        )
    if "managedIdentityClientId" in options.values and not _is_managed(options, method):
        raise OptionError(
            "Option 'managedIdentityClientId' is given, and 'managedIdentityAuth' is not true.",
            remedy="Set managedIdentityAuth to true.",
        )
    _check_vault(options, method)
    if "kustoAadAppCertPassword" in options.values and method != "kustoAadAppCertPath":
        raise OptionError(
            f"Option '{options.name('kustoAadAppCertPassword')}' is given without a certificate."
        )
    return _described(options, method, application, tenant) if method else None


def _check_vault(options: _Options, method: str) -> None:
    """How to get into a Key Vault: by a secret or a certificate of an application, or neither."""
    parts = ("keyVaultAppId", "keyVaultAppKey", "keyVaultPemFilePath", "keyVaultPemFileKey")
    given = [options.name(name) for name in parts if name in options.values]
    if method != "keyVaultUri":
        if given:
            raise OptionError(
                f"Option '{given[0]}' is given without 'keyVaultUri'.", remedy="Give the vault's address too."
            )
        return
    key, pem = options.get("keyVaultAppKey"), options.get("keyVaultPemFilePath")
    if key and pem:
        raise OptionError(
            f"Both option '{options.name('keyVaultAppKey')}' and option"
            f" '{options.name('keyVaultPemFilePath')}' say how to get into the Key Vault.",
            remedy="Give one of them.",
        )
    if options.get("keyVaultPemFileKey") and not pem:
        raise OptionError("Option 'keyVaultPemFileKey' is given without 'keyVaultPemFilePath'.")
    if bool(key or pem) != bool(options.get("keyVaultAppId")):
        lacking = "keyVaultAppId" if key or pem else "keyVaultAppKey"
        raise OptionError(
            f"The Key Vault options lack '{lacking}'.",
            remedy="Give the application's id with its secret or certificate, or none of them.",
        )


def _is_managed(options: _Options, method: str) -> bool:
    return method == "managedIdentityAuth" or (
        method == "authMethod" and (options.get("authMethod") or "").casefold() == "managedidentity"
    )


def _described(
    options: _Options, method: str, application: str | None, tenant: str | None
) -> CredentialDescription:
    option = options.name(method)
    if method == "kustoAadAppSecret":
        return CredentialDescription("application and secret", application, tenant, None, option)
    if method == "kustoAadAppCertPath":
        return CredentialDescription(
            "application and certificate", application, tenant, options.get(method), option
        )
    if method == "accessToken":
        return CredentialDescription("access token", option=option)
    if method == "tokenProvider":
        return CredentialDescription("token provider", source=options.get(method), option=option)
    if method == "keyVaultUri":
        return CredentialDescription(
            "application from Key Vault", options.get("keyVaultAppId"), tenant, options.get(method), option
        )
    name = "interactivebrowser" if method == "userPrompt" else (options.get("authMethod") or "").casefold()
    if method == "managedIdentityAuth" or name == "managedidentity":
        identity = options.get("managedIdentityClientId")
        kind = "user-assigned managed identity" if identity else "system-assigned managed identity"
        return CredentialDescription(kind, identity, None, None, option)
    words = {
        "devicecode": "device code",
        "interactivebrowser": "interactive browser",
        "azurecli": "Azure CLI",
        "workloadidentity": "workload identity",
        "default": "default Azure credential",
    }
    if name not in words:
        raise OptionError(
            f"Option 'authMethod' is '{options.get('authMethod')}'.",
            remedy=f"It must be one of {', '.join(AUTH_METHODS)}.",
        )
    return CredentialDescription(words[name], application, tenant, None, option)


def describe_credential(options: Mapping[str, str]) -> CredentialDescription | None:
    """How these options sign in, checked as far as can be without a network; None when they do not say.

    Raises:
        OptionError: two methods at once, or one of them incomplete.
    """
    return _describe(_read(options))


# -- making them ----------------------------------------------------------------------------------


def _make_application(options: _Options) -> TokenCredential:
    identity = require("azure.identity", "sign in with an application")
    tenant, extra = _tenant(options)
    credential: TokenCredential = identity.ClientSecretCredential(
        tenant, options.get("kustoAadAppId"), options.get("kustoAadAppSecret"), **extra
    )
    return credential


def _make_certificate(
    path_option: str, password_option: str, client_id: str | None, options: _Options
) -> TokenCredential:
    identity = require("azure.identity", "sign in with a certificate")
    path = Path(options.get(path_option) or "").expanduser()
    shown = options.name(path_option)
    if not path.is_file():
        raise OptionError(
            f"The certificate '{path}' (option '{shown}') does not exist on this machine.",
            remedy="Give the path of a PFX or PEM file with its private key; it is read on the driver.",
        )
    tenant, extra = _tenant(options)
    password = options.get(password_option)
    try:
        credential: TokenCredential = identity.CertificateCredential(
            tenant, client_id, str(path), password=password, **extra
        )
        return credential
    except (ValueError, TypeError) as problem:
        reason = first_line(problem)
    raise OptionError(
        f"The certificate '{path}' (option '{shown}') cannot be read: {reason}",
        remedy=f"It must be PFX or PEM with its private key; check '{options.name(password_option)}'.",
    )


def _prompt(uri: str, code: str, expires: datetime) -> None:
    message = f"To sign in, open {uri} and enter the code {code}, before {expires:%H:%M} UTC."
    print(message, file=sys.stderr, flush=True)


def _make_named(name: str, options: _Options) -> TokenCredential:
    identity = require("azure.identity", "sign in")
    tenant, authority = _authority(options)
    client = options.get("kustoAadAppId")
    extra: dict[str, Any] = {}
    if tenant:
        extra["tenant_id"] = tenant
    if authority:
        extra["authority"] = authority
    credential: TokenCredential
    if name == "managedidentity":
        credential = identity.ManagedIdentityCredential(client_id=options.get("managedIdentityClientId"))
    elif name == "devicecode":
        extra |= {"client_id": client} if client else {}
        credential = identity.DeviceCodeCredential(prompt_callback=_prompt, **extra)
    elif name == "interactivebrowser":
        extra |= {"client_id": client} if client else {}
        credential = identity.InteractiveBrowserCredential(**extra)
    elif name == "azurecli":
        credential = identity.AzureCliCredential(tenant_id=tenant or "")
    elif name == "workloadidentity":
        extra |= {"client_id": client} if client else {}
        credential = identity.WorkloadIdentityCredential(**extra)
    else:
        extra.pop("tenant_id", None)
        if tenant:
            extra |= {"workload_identity_tenant_id": tenant, "interactive_browser_tenant_id": tenant}
        credential = identity.DefaultAzureCredential(**extra)
    return credential


# -- Key Vault ------------------------------------------------------------------------------------


def _vault_secrets(options: _Options, names: tuple[str, ...]) -> dict[str, str]:
    """The secrets of a vault that exist, of those named."""
    secrets = require("azure.keyvault.secrets", "read Key Vault (extra 'keyvault')")
    core = require("azure.core.exceptions", "read Key Vault")
    uri = options.get("keyVaultUri") or ""
    app, key = options.get("keyVaultAppId"), options.get("keyVaultAppKey")
    credential: TokenCredential
    if options.get("keyVaultPemFilePath"):
        credential = _make_certificate("keyVaultPemFilePath", "keyVaultPemFileKey", app, options)
    elif app and key:
        tenant, extra = _tenant(options)
        identity = require("azure.identity", "sign in to Key Vault")
        credential = identity.ClientSecretCredential(tenant, app, key, **extra)
    else:
        credential = require("azure.identity", "sign in to Key Vault").DefaultAzureCredential()
    found: dict[str, str] = {}
    reason = ""
    with secrets.SecretClient(uri, credential) as client:
        for name in names:
            try:
                found[name] = client.get_secret(name).value or ""
            except core.ResourceNotFoundError:
                continue
            except Exception as problem:  # noqa: BLE001 - only its redacted first line may go on
                reason = first_line(problem)
                break
    if reason:
        raise AuthenticationError(
            f"Could not read secret '{name}' of Key Vault '{uri}': {reason}",
            remedy="Check keyVaultUri, keyVaultAppId, keyVaultAppKey and the right to get secrets.",
        )
    return found


def _make_from_vault(options: _Options) -> TokenCredential:
    found = _vault_secrets(options, ("kustoAppId", "kustoAppKey", "kustoAppAuthority"))
    for name in ("kustoAppId", "kustoAppKey"):
        if not found.get(name):
            raise AuthenticationError(
                f"Key Vault '{options.get('keyVaultUri')}' has no secret '{name}'.",
                remedy="It must hold kustoAppId, kustoAppKey and kustoAppAuthority.",
            )
    values = {"kustoAadAppId": found["kustoAppId"], "kustoAadAppSecret": found["kustoAppKey"]}
    authority = found.get("kustoAppAuthority") or options.get("kustoAadAuthorityID")
    if authority:
        values["kustoAadAuthorityID"] = authority
    return _make_application(_Options(values))


_VAULT_STORAGE = ("blobStorageSasUrl", "blobStorageAccountName", "blobStorageAccountKey", "blobContainer")


def storage_options_from_key_vault(options: Mapping[str, str]) -> dict[str, str]:
    """Options of transient storage that a Key Vault holds, under the official names of its secrets.

    Args:
        options: with ``keyVaultUri`` and how to get in; without it there are none.

    Raises:
        AuthenticationError: the vault cannot be read.
    """
    read = _read(options)
    if read.get("keyVaultUri") is None:
        return {}
    _describe(read)
    key = (os.getpid(), hashlib.sha256(json.dumps(sorted(read.values.items())).encode()).hexdigest())
    with _made_lock:
        moment, found = _vault_answers.get(key, (0.0, {}))
    if time.monotonic() - moment > _VAULT_SECONDS or not found:
        found = {name: value for name, value in _vault_secrets(read, _VAULT_STORAGE).items() if value}
        with _made_lock:
            _vault_answers.clear()
            _vault_answers[key] = (time.monotonic(), found)
    if "blobStorageSasUrl" in found:
        return {"blobStorageSasUrl": found["blobStorageSasUrl"]}
    return dict(found) if len(found) == 3 else {}


# -- the entry ------------------------------------------------------------------------------------

_made: dict[tuple[int, str], Credential] = {}
_vault_answers: dict[tuple[int, str], tuple[float, dict[str, str]]] = {}
_VAULT_SECONDS = 300.0
"""How long a Key Vault's answer is taken for its answer: a stream would ask for every batch."""
_made_lock = threading.Lock()


def credential_from_options(options: Mapping[str, str]) -> Credential | None:
    """The credential that options ask for; None when they do not say how to sign in.

    The same options give the same credential again within a process, so that nobody is asked to sign in
    twice.

    Args:
        options: any options; those of authentication are picked out, without regard to case.

    Raises:
        OptionError: two methods at once, one incomplete, or a certificate that cannot be read.
        UnsupportedError: azure-identity is not installed.
    """
    read = _read(options)
    description = _describe(read)
    if description is None:
        return None
    # A token provider is given all options, so all of them make it what it is.
    everything = sorted(options.items()) if "tokenProvider" in read.values else []
    content = json.dumps([sorted(read.values.items()), everything])
    key = (os.getpid(), hashlib.sha256(content.encode()).hexdigest())
    with _made_lock:
        found = _made.get(key)
        if found is None:
            found = _create(description, read, options)
            _made[key] = found
    return found


def _create(description: CredentialDescription, read: _Options, options: Mapping[str, str]) -> Credential:
    chosen = next(name for name in _CHOOSERS if name in read.values)
    app = read.get("kustoAadAppId")
    makers: dict[str, Callable[[], Any]] = {
        "kustoAadAppSecret": lambda: _make_application(read),
        "kustoAadAppCertPath": lambda: _make_certificate(
            "kustoAadAppCertPath", "kustoAadAppCertPassword", app, read
        ),
        "managedIdentityAuth": lambda: _make_named("managedidentity", read),
        "accessToken": lambda: StaticToken(read.values["accessToken"]),
        "tokenProvider": lambda: ProvidedToken(read.values["tokenProvider"], options),
        "keyVaultUri": lambda: _make_from_vault(read),
        "userPrompt": lambda: _make_named("interactivebrowser", read),
        "authMethod": lambda: _make_named(read.values["authMethod"].casefold(), read),
    }
    credential = Credential(description, makers[chosen])
    # A vault is asked when a token is needed; everything else is made at once, without a network.
    return credential if chosen == "keyVaultUri" else credential.open()


def fallback_credential(tenant: str | None = None) -> Credential:
    """What the official connector does when nothing says how to sign in: the Azure CLI, then a device code.

    Args:
        tenant: id or domain; the user's own by default.
    """

    def make() -> TokenCredential:
        identity = require("azure.identity", "sign in")
        extra = {"tenant_id": tenant} if tenant else {}
        chain: TokenCredential = identity.ChainedTokenCredential(
            identity.AzureCliCredential(tenant_id=tenant or ""),
            identity.DeviceCodeCredential(prompt_callback=_prompt, **extra),
        )
        return chain

    description = CredentialDescription("Azure CLI, then device code", None, tenant, None, "authMethod")
    return Credential(description, make)
