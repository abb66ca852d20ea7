"""Staging with an Entra credential: user delegation SAS for executors, over HTTPS as the service wants it."""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from spark_kusto.client.auth import credential_from_options
from spark_kusto.errors import StagingError
from spark_kusto.staging import Retries, TransferSettings, TransientStorage, delete_directory, parse_container
from tests.client.entra import APP, SECRET, TENANT, Certificate, Entra
from tests.staging.azurite import KEY, Azurite, Container, wait_for
from tests.staging.conftest import SETTINGS
from tests.staging.test_transient import BLOCK, fields, noise

pytestmark = pytest.mark.azurite

APPLICATION = {"kustoAadAppId": APP, "kustoAadAppSecret": SECRET, "kustoAadAuthorityID": TENANT}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure_azurite(certificate: Certificate, nothing_left: None) -> Iterator[Azurite]:
    arguments = [
        "--oauth",
        "basic",
        "--cert",
        str(certificate.certificate_file),
        "--key",
        str(certificate.key_file),
    ]
    with Azurite(arguments, verify=str(certificate.certificate_file)) as service:
        yield service


@pytest.fixture
def entra(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    with Entra(certificate, monkeypatch) as service:
        yield service


@pytest.fixture
def secure(secure_azurite: Azurite, entra: Entra) -> Iterator[Container]:
    made = secure_azurite.new_container()
    yield made
    assert made.names(uncommitted=True) == []
    made.delete()


def storage_of(container: Container, **more: Any) -> TransientStorage:
    credential = credential_from_options(APPLICATION)
    return TransientStorage(
        [parse_container(container.url, credential=credential)], settings=SETTINGS, **more
    )


def test_a_transaction_with_delegated_rights(secure: Container, entra: Entra, tmp_path: Path) -> None:
    data = noise(5 * BLOCK + 1)
    with storage_of(secure).begin("db", "write") as directory:
        upload = directory.upload_grant()
        assert SECRET.encode() not in pickle.dumps(upload)
        blob = pickle.loads(pickle.dumps(upload)).upload_stream(io.BytesIO(data))
        download = directory.download_grant(blob)
        assert download.download(tmp_path / "copy").read_bytes() == data
        for grant, permissions, resource in ((upload, "cw", "c"), (download, "r", "b")):
            granted = fields(grant)
            assert (granted["sp"], granted["sr"], granted["spr"]) == (permissions, resource, "https")
            assert granted["skoid"]
            assert granted["skt"]
    assert secure.names(uncommitted=True) == []
    assert [asked["scope"] for asked in entra.asked if "scope" in asked] == [
        "https://storage.azure.com/.default"
    ]


def test_the_delegation_key_is_asked_for_once(secure: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import BlobServiceClient

    asked: list[tuple[datetime, datetime]] = []
    original = BlobServiceClient.get_user_delegation_key

    def counted(self: Any, start: datetime, expiry: datetime, **more: Any) -> Any:
        asked.append((start, expiry))
        return original(self, start, expiry, **more)

    monkeypatch.setattr(BlobServiceClient, "get_user_delegation_key", counted)
    with storage_of(secure).begin("db", "read") as directory:
        blobs = [directory.upload_stream(io.BytesIO(b"x")) for _ in range(5)]
        for blob in blobs:
            directory.download_grant(blob)
        assert len(asked) == 1
    with storage_of(secure, expiry=timedelta(days=30)).begin("db", "read") as directory:
        expires = directory.download_grant(directory.upload_stream(io.BytesIO(b"x"))).grant.signature.expires
        assert expires is not None
        # The service signs for a week at most.
        assert timedelta(days=6) < expires - datetime.now(timezone.utc) < timedelta(days=7)


def test_delegated_grants_are_renewed(secure: Container) -> None:
    with storage_of(secure, sas_lifetime=timedelta(seconds=3)).begin("db", "write") as directory:
        directory.renew_grants()
        blob = directory.upload_stream(io.BytesIO(b"data"))
        download = pickle.loads(pickle.dumps(directory.download_grant(blob)))
        ends = download.grant.signature.expires
        wait_for(lambda: datetime.now(timezone.utc) > ends + timedelta(seconds=1))
        assert b"".join(download.chunks()) == b"data"
    assert secure.names() == []


def test_clean_up_with_a_credential(secure: Container) -> None:
    storage_of(secure).begin("db", "write")
    summary = delete_directory(secure.url, credential=credential_from_options(APPLICATION))
    assert len(summary.deleted) == 1
    assert secure.names() == []


def test_the_cluster_may_be_told_to_impersonate(secure: Container) -> None:
    credential = credential_from_options(APPLICATION)
    container = parse_container(f"{secure.url};impersonate", credential=credential)
    with TransientStorage([container], settings=SETTINGS).begin("db", "export") as directory:
        assert directory.kusto_targets() == (f"{secure.url}/{directory.name};impersonate",)


def test_a_credential_that_gets_no_token_says_why(secure: Container) -> None:
    wrong = SECRET[::-1]
    credential = credential_from_options({**APPLICATION, "kustoAadAppSecret": wrong})
    settings = TransferSettings(retries=Retries(3, 0.01, 0.01))
    storage = TransientStorage([parse_container(secure.url, credential=credential)], settings=settings)
    with pytest.raises(StagingError, match="AADSTS7000215") as caught:
        storage.begin("db", "write")
    assert secure.name in str(caught.value)
    assert "check option 'kustoAadAppSecret'" in str(caught.value)
    assert wrong not in "".join(traceback.format_exception(caught.value))


def test_an_identity_the_service_refuses_needs_a_role(secure: Container, entra: Entra) -> None:
    entra.lifetime = -3600  # the service sees a token that has ended
    credential = credential_from_options({"accessToken": "ey.no.token"})
    storage = TransientStorage([parse_container(secure.url, credential=credential)], settings=SETTINGS)
    with pytest.raises(StagingError, match="service refused the Entra identity") as caught:
        storage.begin("db", "write")
    assert "Storage Blob Data Contributor" in str(caught.value)


def test_keys_and_sas_work_over_https_too(secure: Container) -> None:
    for text in (f"{secure.url};{KEY}", f"{secure.url}?{secure.sas()}"):
        with TransientStorage([parse_container(text)], settings=SETTINGS).begin("db", "write") as directory:
            blob = directory.upload_grant().upload_stream(io.BytesIO(b"x"))
            assert b"".join(directory.download_grant(blob).chunks()) == b"x"
    assert secure.names() == []
