"""Every way to sign in, through azure-identity itself, with a stand-in at the edge of the network."""

from __future__ import annotations

import logging
import os
import pickle
import stat
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_kusto.client import auth
from spark_kusto.client.auth import (
    AUTH_METHODS,
    CredentialDescription,
    credential_from_options,
    describe_credential,
    fallback_credential,
    storage_options_from_key_vault,
)
from spark_kusto.errors import AuthenticationError, OptionError
from tests.client.entra import APP, SECRET, TENANT, Certificate, Entra, token

SCOPE = "https://help.kusto.windows.net/.default"
PASSWORD = "pa55-of-the-certificate"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("entra"))


@pytest.fixture
def entra(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_")):
            monkeypatch.delenv(name)
    with Entra(certificate, monkeypatch) as service:
        yield service


@pytest.fixture(autouse=True)
def no_secret_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET not in caplog.text
    assert PASSWORD not in caplog.text


def sign_in(options: dict[str, str]) -> str:
    credential = credential_from_options(options)
    assert credential is not None
    try:
        given = credential.get_token(SCOPE)
        assert given.expires_on > time.time()
        for text in (repr(credential), str(credential.description), repr(credential.description)):
            assert SECRET not in text
            assert PASSWORD not in text
            assert given.token not in text
        with pytest.raises(AuthenticationError, match="is not pickled"):
            pickle.dumps(credential)
        assert credential.get_token_info(SCOPE).token
        return given.token
    finally:
        credential.close()


def application(**more: str) -> dict[str, str]:
    return {"kustoAadAppId": APP, "kustoAadAuthorityID": TENANT, **more}


# -- applications ---------------------------------------------------------------------------------


def test_application_and_secret(entra: Entra) -> None:
    sign_in(application(kustoAadAppSecret=SECRET))
    asked = entra.asked[0]
    assert asked["path"] == f"/{TENANT}/oauth2/v2.0/token"
    assert (asked["grant_type"], asked["client_id"], asked["client_secret"]) == (
        "client_credentials",
        APP,
        SECRET,
    )
    assert asked["scope"] == SCOPE


def test_names_in_any_case_and_of_older_releases(entra: Entra, caplog: pytest.LogCaptureFixture) -> None:
    sign_in({"kustoaadappid": APP, "KUSTOAADAPPSECRET": SECRET, "kustoAADAuthorityID": TENANT})
    assert "is a name of releases before 2.0" not in caplog.text
    sign_in({"kustoAADClientID": APP, "kustoClientAADClientPassword": SECRET, "kustoAadAuthorityID": TENANT})
    assert "Option 'kustoAADClientID' is a name of releases before 2.0; use 'kustoAadAppId'." in caplog.text
    assert "use 'kustoAadAppSecret'" in caplog.text
    assert len(entra.asked) == 2


def test_the_tenant_may_be_missing_or_a_whole_authority(
    entra: Entra, caplog: pytest.LogCaptureFixture
) -> None:
    sign_in({"kustoAadAppId": APP, "kustoAadAppSecret": SECRET})
    assert entra.asked[0]["path"].startswith("/microsoft.com/")
    assert "'kustoAadAuthorityID' is not given" in caplog.text
    china = f"https://login.chinacloudapi.cn/{TENANT}"
    sign_in({"kustoAadAppId": APP, "kustoAadAppSecret": SECRET, "kustoAadAuthorityID": china})
    assert entra.asked[1]["host"] == "login.chinacloudapi.cn"
    for wrong in ("http://login.microsoftonline.com/x", "https://login.microsoftonline.com", "https://a/b/c"):
        with pytest.raises(OptionError, match=r"https://<authority host>/<tenant>"):
            credential_from_options(
                {"kustoAadAppId": APP, "kustoAadAppSecret": SECRET, "kustoAadAuthorityID": wrong}
            )


def test_a_wrong_secret_says_which_option(entra: Entra) -> None:
    credential = credential_from_options(application(kustoAadAppSecret="wr0ng-secret-value"))
    assert credential is not None
    with pytest.raises(AuthenticationError, match="AADSTS7000215") as caught:
        credential.get_token(SCOPE)
    error = caught.value
    assert "check option 'kustoAadAppSecret'" in str(error)
    assert f"application {APP}" in str(error)
    assert error.__context__ is None
    assert "wr0ng" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("spelling", ["kutoAadAppCert", "kustoAadAppCert"])
@pytest.mark.parametrize("form", ["pfx", "pem", "plain pem"])
def test_application_and_certificate(
    entra: Entra, certificate: Certificate, spelling: str, form: str
) -> None:
    entra.application_certificate = certificate
    path = {
        "pfx": lambda: certificate.pfx(PASSWORD),
        "pem": lambda: certificate.pem(PASSWORD),
        "plain pem": lambda: certificate.pem(),
    }[form]()
    options = application(**{f"{spelling}Path": str(path)})
    if form != "plain pem":
        options[f"{spelling}Password"] = PASSWORD
    sign_in(options)
    assert "client_assertion" in entra.asked[0]


def test_certificates_that_cannot_be_read(entra: Entra, certificate: Certificate, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"/no/such.pfx' \(option 'kutoAadAppCertPath'\) does not exist"):
        credential_from_options(application(kutoAadAppCertPath="/no/such.pfx"))
    wrong = "not-the-password"
    with pytest.raises(OptionError, match="cannot be read") as caught:
        credential_from_options(
            application(kutoAadAppCertPath=str(certificate.pfx(PASSWORD)), kutoAadAppCertPassword=wrong)
        )
    assert "check 'kutoAadAppCertPassword'" in str(caught.value)
    assert wrong not in str(caught.value)
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    with pytest.raises(OptionError, match="cannot be read"):
        credential_from_options(application(kustoAadAppCertPath=str(text)))


def test_a_certificate_the_tenant_does_not_know(
    entra: Entra, certificate: Certificate, tmp_path: Path
) -> None:
    entra.application_certificate = Certificate(tmp_path, "other")
    credential = credential_from_options(application(kutoAadAppCertPath=str(certificate.pem())))
    assert credential is not None
    with pytest.raises(AuthenticationError, match="not registered with the application"):
        credential.get_token(SCOPE)


# -- identities of machines -----------------------------------------------------------------------


def test_managed_identity_of_the_machine(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{entra.plain_port}")
    sign_in({"managedIdentityAuth": "True"})
    assert entra.asked[-1]["path"] == "/metadata/identity/oauth2/token"
    assert entra.asked[-1]["resource"] == SCOPE.removesuffix("/.default")
    assert "client_id" not in entra.asked[-1]
    sign_in({"managedIdentityAuth": "true", "managedIdentityClientId": APP})
    assert entra.asked[-1]["client_id"] == APP


def test_managed_identity_of_a_service(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{entra.plain_port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    sign_in({"authMethod": "managedIdentity", "managedIdentityClientId": APP})
    assert entra.asked[-1]["path"] == "/msi/token"
    assert entra.asked[-1]["client_id"] == APP


def test_workload_identity(entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "federated"
    file.write_text("federated.token.text")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", "from-the-environment")
    sign_in({"authMethod": "WorkloadIdentity"})
    assert entra.asked[-1]["client_assertion"] == "federated.token.text"
    assert entra.asked[-1]["client_id"] == "from-the-environment"
    sign_in({"authMethod": "workloadIdentity", **application()})
    assert entra.asked[-1]["client_id"] == APP


# -- people ---------------------------------------------------------------------------------------


def test_device_code(entra: Entra, capfd: pytest.CaptureFixture[str]) -> None:
    sign_in({"authMethod": "deviceCode", "kustoAadAuthorityID": TENANT})
    shown = capfd.readouterr()
    assert "open https://microsoft.com/devicelogin and enter the code ABCD-1234" in shown.err
    assert shown.out == ""
    assert [asked["path"].rpartition("/")[2] for asked in entra.asked] == ["devicecode", "token", "token"]


@pytest.mark.parametrize("options", [{"userPrompt": "true"}, {"authMethod": "interactiveBrowser"}])
def test_interactive_browser(
    entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, str]
) -> None:
    # A browser that goes where it is sent, without a person.
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\n"
        "import ssl, sys, urllib.request\n"
        "from urllib.parse import urlsplit\n"
        "parts = urlsplit(sys.argv[1])\n"
        f"url = parts._replace(netloc='localhost:{entra.port}').geturl()\n"
        f"context = ssl.create_default_context(cafile={str(entra.certificate.certificate_file)!r})\n"
        "urllib.request.urlopen(url, context=context, timeout=20).read()\n"
    )
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", f"{browser} %s &")
    monkeypatch.setattr("webbrowser._tryorder", None)
    sign_in({**options, "kustoAadAuthorityID": TENANT})
    authorized = next(asked for asked in entra.asked if asked["path"].endswith("/authorize"))
    redeemed = next(asked for asked in entra.asked if asked.get("grant_type") == "authorization_code")
    assert authorized["redirect_uri"].startswith("http://localhost:")
    assert redeemed["code"] == "authorization-code"
    assert redeemed["code_verifier"]


def install_az(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    az = folder / "az"
    az.write_text(f"#!{sys.executable}\nimport json, sys\n{script}\n")
    az.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_azure_cli(entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = token()
    install_az(
        tmp_path,
        monkeypatch,
        f"assert 'get-access-token' in sys.argv\n"
        f"print(json.dumps({{'accessToken': {given!r}, 'expires_on': {int(time.time()) + 3600}}}))",
    )
    assert sign_in({"authMethod": "azureCli"}) == given
    fallback = fallback_credential(TENANT)
    assert fallback.get_token(SCOPE).token == given
    assert "Azure CLI, then device code" in repr(fallback)


def test_azure_cli_signed_out(entra: Entra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_az(tmp_path, monkeypatch, "sys.exit(\"Please run 'az login' to setup account.\")")
    credential = credential_from_options({"authMethod": "azureCli"})
    assert credential is not None
    with pytest.raises(AuthenticationError, match="Run `az login` on the driver"):
        credential.get_token(SCOPE)


def test_the_default_chain(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", APP)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    sign_in({"authMethod": "default"})
    assert entra.asked[-1]["client_secret"] == SECRET


# -- tokens ---------------------------------------------------------------------------------------


def test_a_ready_token() -> None:
    given = token()
    assert sign_in({"accessToken": given}) == given
    assert sign_in({"accessToken": "opaque-token"}) == "opaque-token"
    credential = credential_from_options({"accessToken": token(lifetime=-60)})
    assert credential is not None
    with pytest.raises(AuthenticationError, match="'accessToken' expired at 20") as caught:
        credential.get_token(SCOPE)
    assert "tokenProvider" in str(caught.value)


calls: list[Any] = []


def plain_provider() -> str:
    calls.append(None)
    return token(lifetime=3600 if len(calls) > 1 else 10)


def provider_of_options(options: dict[str, str]) -> tuple[str, float]:
    calls.append(options)
    return f"for {options['kustoDatabase']}", time.time() + 3600


class CredentialLike:
    def get_token(self, *scopes: str) -> Any:
        calls.append(scopes)
        return type("Token", (), {"token": f"for {scopes[0]}", "expires_on": time.time() + 3600})()


like = CredentialLike()


def broken_provider() -> str:
    raise RuntimeError("token=abc.secret.def could not be had")


def silent_provider() -> None:
    return None


def test_a_token_from_a_function() -> None:
    here = __name__
    calls.clear()
    credential = credential_from_options({"tokenProvider": f"{here}:plain_provider"})
    assert credential is not None
    credential.get_token(SCOPE)
    credential.get_token(SCOPE)  # the first one was about to end
    credential.get_token(SCOPE)
    assert len(calls) == 2
    calls.clear()
    options = {"tokenProviderCallbackClasspath": f"{here}.provider_of_options", "kustoDatabase": "db"}
    assert sign_in(options) == "for db"
    assert calls == [options]
    for name in (f"{here}:CredentialLike", f"{here}:like"):
        assert sign_in({"tokenProvider": name}) == f"for {SCOPE}"


def test_functions_that_give_no_token() -> None:
    here = __name__
    for name, words in (
        (f"{here}:broken_provider", "could not be had"),
        (f"{here}:silent_provider", "returned a None"),
    ):
        credential = credential_from_options({"tokenProvider": name})
        assert credential is not None
        with pytest.raises(AuthenticationError, match=words) as caught:
            credential.get_token(SCOPE)
        assert "abc.secret" not in str(caught.value)
    for name in ("no.such:function", f"{here}:nothing", f"{here}:SCOPE", "plain", "com.example.Provider"):
        with pytest.raises(OptionError, match=f"Option 'tokenProvider' names '{name}'"):
            credential_from_options({"tokenProvider": name})


# -- Key Vault ------------------------------------------------------------------------------------

VAULT = {"keyVaultUri": "https://myvault.vault.azure.net", "kustoAadAuthorityID": TENANT}


def test_key_vault(entra: Entra, certificate: Certificate) -> None:
    entra.vault = {"kustoAppId": APP, "kustoAppKey": SECRET, "kustoAppAuthority": TENANT}
    sign_in({**VAULT, "keyVaultAppId": "vault-app", "keyVaultAppKey": SECRET})
    clients = [asked["client_id"] for asked in entra.asked if "client_id" in asked]
    assert clients == ["vault-app", APP]
    entra.application_certificate = certificate
    pem = {"keyVaultPemFilePath": str(certificate.pem(PASSWORD)), "keyVaultPemFileKey": PASSWORD}
    sign_in({**VAULT, "keyVaultAppId": "vault-app", **pem})
    assert any("client_assertion" in asked for asked in entra.asked)


def test_key_vault_without_the_secrets(entra: Entra) -> None:
    options = {**VAULT, "keyVaultAppId": "vault-app", "keyVaultAppKey": SECRET}
    credential = credential_from_options(options)
    assert credential is not None
    with pytest.raises(AuthenticationError, match="has no secret 'kustoAppId'"):
        credential.get_token(SCOPE)
    wrong = {**options, "keyVaultAppKey": SECRET[::-1]}
    with pytest.raises(AuthenticationError, match="Could not read secret") as caught:
        storage_options_from_key_vault(wrong)
    assert SECRET[::-1] not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(OptionError, match="lack 'keyVaultAppKey'"):
        storage_options_from_key_vault({**VAULT, "keyVaultAppId": "vault-app"})


def test_storage_from_key_vault(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**VAULT, "keyVaultAppId": "vault-app", "keyVaultAppKey": SECRET}
    assert storage_options_from_key_vault({}) == {}
    assert storage_options_from_key_vault(options) == {}
    three = {"blobStorageAccountName": "acct", "blobStorageAccountKey": "key", "blobContainer": "cont"}
    entra.vault = dict(three)
    assert storage_options_from_key_vault(options) == three
    entra.vault["blobStorageSasUrl"] = "https://acct.blob.core.windows.net/cont?sig=x"
    # Not asked for each batch of a stream.
    assert storage_options_from_key_vault(options) == three
    monkeypatch.setattr(auth, "_VAULT_SECONDS", -1.0)
    assert list(storage_options_from_key_vault(options)) == ["blobStorageSasUrl"]


# -- which method ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        (
            application(kustoAadAppSecret="s", kutoAadAppCertPath="p"),
            "kustoAadAppSecret",
            "kutoAadAppCertPath",
        ),
        (application(kustoAadAppSecret="s", accessToken="t"), "kustoAadAppSecret", "accessToken"),
        (application(accessToken="t"), "kustoAadAppId", "accessToken"),
        (application(managedIdentityAuth="true"), "kustoAadAppId", "managedIdentityAuth"),
        (application(keyVaultUri="https://v"), "kustoAadAppId", "keyVaultUri"),
        ({"accessToken": "t", "managedIdentityAuth": "true"}, "managedIdentityAuth", "accessToken"),
        ({"accessToken": "t", "tokenProvider": "m:f"}, "accessToken", "tokenProvider"),
        ({"userToken": "t", "keyVaultUri": "https://v"}, "userToken", "keyVaultUri"),
        ({"userPrompt": "true", "authMethod": "azureCli"}, "userPrompt", "authMethod"),
        ({"userPrompt": "true", "tokenProvider": "m:f"}, "tokenProvider", "userPrompt"),
        (
            {"keyVaultUri": "v", "keyVaultAppId": "a", "keyVaultAppKey": "k", "keyVaultPemFilePath": "p"},
            "keyVaultAppKey",
            "keyVaultPemFilePath",
        ),
    ],
)
def test_two_methods_at_once_are_refused_by_name(options: dict[str, str], first: str, second: str) -> None:
    with pytest.raises(OptionError, match=f"option '{first}' and option '{second}'"):
        describe_credential(options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (application(), "'kustoAadAppId' is given without a secret or certificate"),
        ({"kustoAadAppSecret": "s"}, "'kustoAadAppSecret' is given without 'kustoAadAppId'"),
        ({"kutoAadAppCertPath": "p"}, "'kutoAadAppCertPath' is given without 'kustoAadAppId'"),
        ({"kutoAadAppCertPassword": "p"}, "'kutoAadAppCertPassword' is given without a certificate"),
        ({"managedIdentityClientId": "x"}, "'managedIdentityAuth' is not true"),
        ({"managedIdentityAuth": "yes"}, "takes true or false"),
        ({"authMethod": "magic"}, "must be one of deviceCode"),
        ({"keyVaultAppId": "a"}, "'keyVaultAppId' is given without 'keyVaultUri'"),
        ({"authMethod": "default", "keyVaultPemFilePath": "p"}, "without 'keyVaultUri'"),
        ({**VAULT, "keyVaultAppId": "a"}, "lack 'keyVaultAppKey'"),
        ({**VAULT, "keyVaultAppKey": "k"}, "lack 'keyVaultAppId'"),
        ({**VAULT, "keyVaultPemFilePath": "p"}, "lack 'keyVaultAppId'"),
        ({**VAULT, "keyVaultPemFileKey": "p"}, "without 'keyVaultPemFilePath'"),
        (
            application(kutoAadAppCertPath="a", kustoAadAppCertPath="b"),
            "'kutoAadAppCertPath' and 'kustoAadAppCertPath' mean the same",
        ),
    ],
)
def test_incomplete_methods_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        describe_credential(options)


def test_descriptions_say_how_and_hold_no_secret() -> None:
    assert describe_credential({"kustoTable": "T", "userPrompt": "false", "accessToken": " "}) is None
    assert credential_from_options({}) is None
    described = describe_credential(application(kustoAadAppSecret=SECRET))
    assert described == CredentialDescription(
        "application and secret", APP, TENANT, None, "kustoAadAppSecret"
    )
    assert str(described) == f"application and secret (application {APP}, tenant {TENANT})"
    for name in AUTH_METHODS:
        assert describe_credential({"authMethod": name.upper()}) is not None
    provided = describe_credential({"tokenProvider": "m:f"})
    assert str(provided) == "token provider (from m:f)"


def test_the_same_options_give_the_same_credential() -> None:
    one = credential_from_options(application(kustoAadAppSecret="one"))
    assert credential_from_options({**application(kustoAadAppSecret="one"), "kustoTable": "T"}) is one
    assert credential_from_options(application(kustoAadAppSecret="two")) is not one
