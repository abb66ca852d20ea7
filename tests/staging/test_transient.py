"""A transaction's staging from begin to end, against a real blob service."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import pickle
import re
import tracemalloc
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_kusto.errors import OptionError, StagingError
from spark_kusto.staging import (
    DownloadGrant,
    StagedBlob,
    TransferSettings,
    TransientStorage,
    UploadGrant,
    assert_nothing_left,
    parse_container,
)
from tests.staging.azurite import ACCOUNT, KEY, Azurite, Container, wait_for
from tests.staging.conftest import SETTINGS

BLOCK = SETTINGS.block_size


def noise(length: int, seed: int = 1) -> bytes:
    return hashlib.shake_128(str(seed).encode()).digest(length)


def storage_forms(container: Container) -> dict[str, dict[str, str]]:
    sas = container.sas()
    endpoint = container.azurite.endpoint
    return {
        "account, key, container": {
            "blobStorageAccountName": endpoint,
            "blobStorageAccountKey": KEY,
            "blobContainer": container.name,
        },
        "container SAS URL": {"blobStorageSasUrl": container.sas_url()},
        "directory SAS URL": {"transientStorage": f"{container.url}/some/where?{sas}"},
        "key in the URL": {"transientStorage": container.key_url},
        "connection string": {
            "blobStorageConnectionString": f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};",
            "blobContainer": container.name,
        },
        "connection string with SAS": {
            "blobStorageConnectionString": f"BlobEndpoint={endpoint};SharedAccessSignature={sas}",
            "blobContainer": container.name,
        },
        "official sasUrl": {
            "transientStorage": json.dumps({"storageCredentials": [{"sasUrl": container.sas_url()}]})
        },
        "official ingestion storage": {
            "kustoIngestionStorageContainer": json.dumps(
                [{"storageUrl": endpoint, "containerName": container.name, "sas": f"?{sas}"}]
            )
        },
    }


FORMS = range(8)


@pytest.mark.azurite
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_storage_carries_a_transaction(container: Container, form: int, tmp_path: Path) -> None:
    name, options = list(storage_forms(container).items())[form]
    storage = TransientStorage.from_options(options, ingestion=True, settings=SETTINGS)
    assert storage is not None, name
    data = noise(3 * BLOCK + 17)
    with storage.begin("My Database", "write") as directory:
        assert re.fullmatch(r"My_Database/write-\d{8}T\d{6}Z-[0-9a-f]{32}", directory.name)
        grant = pickle.loads(pickle.dumps(directory.upload_grant()))
        blob = grant.upload_stream(io.BytesIO(data), "part-0.parquet")
        assert blob.length == len(data)
        assert blob.sha256 == hashlib.sha256(data).hexdigest()
        assert [listed.name for listed in directory.list()] == [blob.name]
        directory.verify([blob])
        read = pickle.loads(pickle.dumps(directory.download_grant(blob)))
        assert read.download(tmp_path / "copy").read_bytes() == data
        assert container.get(blob.name) == data
    assert container.names(uncommitted=True) == []


@pytest.mark.azurite
@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3, 23 * BLOCK])
def test_bytes_of_any_length_come_back_exactly(
    storage: TransientStorage, tmp_path: Path, length: int
) -> None:
    data = noise(length)
    with storage.begin("db", "write") as directory:
        source = tmp_path / "source.bin"
        source.write_bytes(data)
        blob = directory.upload_grant().upload_file(source)
        grant = directory.download_grant(blob)
        assert b"".join(grant.chunks()) == data
        assert b"".join(directory.chunks(blob)) == data
        assert directory.download(blob, tmp_path / "copy").read_bytes() == data
        with grant.open() as reader:
            assert reader.readall() == data
            assert reader.tell() == length
            assert reader.read(10) == b""
        with directory.open(directory.list()[0]) as reader:
            assert reader.seek(-min(length, 5), os.SEEK_END) == length - min(length, 5)
            assert reader.read() == data[length - min(length, 5) :]
            reader.seek(length // 3)
            assert reader.read(100) == data[length // 3 :][:100]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source.bin"]


@pytest.mark.azurite
def test_parquet_is_read_column_by_column_without_a_copy(storage: TransientStorage) -> None:
    table = pa.table({"a": list(range(100_000)), "b": [str(i) for i in range(100_000)]})
    file = io.BytesIO()
    pq.write_table(table, file)
    with storage.begin("db", "write") as directory:
        blob = directory.upload_stream(io.BytesIO(file.getvalue()))
        with directory.download_grant(blob).open() as reader:
            assert pq.ParquetFile(reader).read(columns=["b"]).equals(table.select(["b"]))


@pytest.mark.azurite
@pytest.mark.parametrize("known", [True, False])
def test_a_stream_is_a_file_read_from_front_to_back(storage: TransientStorage, known: bool) -> None:
    data = noise(11 * BLOCK + 7)
    with storage.begin("db", "read") as directory:
        blob = directory.upload_stream(io.BytesIO(data))
        if not known:  # as of a cluster's blobs: no hash, no version
            blob = StagedBlob(blob.address, blob.name, blob.length)
        with directory.download_grant(blob).stream() as stream:
            assert stream.seek(-8, os.SEEK_END) == len(data) - 8
            assert stream.read(100) == data[-8:]
            stream.seek(0)
            parts = [stream.read(length) for length in (1, BLOCK, 3 * BLOCK, 5)]
            assert b"".join(parts) == data[: 4 * BLOCK + 6]
            buffer = bytearray(2 * BLOCK)
            assert stream.readinto(buffer) == len(buffer)
            assert buffer == data[4 * BLOCK + 6 :][: len(buffer)]
            stream.seek(3)
            assert stream.read(10) == data[3:13]
            assert stream.tell() == 13
            assert stream.read() == data[13:]
            assert stream.read(1) == b""
        with directory.download_grant(blob).stream() as stream:
            stream.read(1)  # left with blocks under way


@pytest.mark.azurite
def test_memory_stays_bounded(container: Container, tmp_path: Path) -> None:
    settings = TransferSettings(block_size=1024 * 1024, concurrency=2)
    storage = TransientStorage([parse_container(container.key_url)], settings=settings)
    source = tmp_path / "large"
    with source.open("wb") as file:
        for part in range(64):
            file.write(noise(1024 * 1024, part))
    with storage.begin("db", "write") as directory:
        grant = directory.upload_grant()
        grant.upload_stream(io.BytesIO(b"warm"))
        tracemalloc.start()
        blob = grant.upload_file(source)
        up = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        directory.download_grant(blob).download(tmp_path / "copy")
        down = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with directory.download_grant(blob).stream() as stream:
            while stream.read(100_000):
                pass
        through = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with source.open("rb") as file, directory.writer("x.parquet") as writer:
            while piece := file.read(100_000):
                writer.write(piece)
            writer.finish()
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert through < 16 * 1024 * 1024
    assert written < 12 * 1024 * 1024
    assert up < 12 * 1024 * 1024
    assert down < 16 * 1024 * 1024
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


@pytest.mark.azurite
def test_several_containers_are_used_in_turn_and_all_cleaned(azurite: Azurite) -> None:
    containers = [azurite.new_container() for _ in range(3)]
    storage = TransientStorage([parse_container(c.key_url) for c in containers], settings=SETTINGS)
    with storage.begin("db", "write") as directory:
        grant = directory.upload_grant()
        blobs = [grant.upload_stream(io.BytesIO(noise(100, i)), f"part-{i}") for i in range(6)]
        blobs += [directory.upload_stream(io.BytesIO(noise(100, i))) for i in range(6, 9)]
        for made in containers:
            assert len([n for n in made.names() if not n.endswith("_spark_kusto_staging")]) == 3
        directory.verify(blobs)
        for number, blob in enumerate(blobs):
            assert b"".join(directory.download_grant(blob).chunks()) == noise(100, number)
    for made in containers:
        assert made.names() == []
        made.delete()


@pytest.mark.azurite
def test_what_lost_tasks_left_is_swept(storage: TransientStorage, container: Container) -> None:
    with storage.begin("db", "write") as directory:
        grant = directory.upload_grant()
        blobs = [grant.upload_stream(io.BytesIO(b"same name"), "part-0.parquet") for _ in range(3)]
        assert len({blob.name for blob in blobs}) == 3
        # An upload that stops half-way leaves blocks that no ordinary listing shows.
        container.client.get_blob_client(f"{directory.name}/half").stage_block("QQ==", b"half")
        assert f"{directory.name}/half" in container.names(uncommitted=True)
    assert container.names(uncommitted=True) == []


@pytest.mark.azurite
def test_keeping_staged_blobs_is_an_option(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    storage = TransientStorage.from_options(
        {"blobstoragesasurl": container.sas_url(), "STAGINGKEEP": "True"}, settings=SETTINGS
    )
    assert storage is not None
    with caplog.at_level(logging.INFO, "spark_kusto.staging"), storage.begin("db", "write") as directory:
        blob = directory.upload_stream(io.BytesIO(b"look"))
    assert container.get(blob.name) == b"look"
    assert f"'{directory.name}' is left in place" in caplog.text


@pytest.mark.azurite
def test_a_directory_is_reopened_by_name(storage: TransientStorage, container: Container) -> None:
    directory = storage.begin("db", "write")
    blob = directory.upload_grant().upload_stream(io.BytesIO(b"data"))
    again = storage.directory(directory.name)
    again.verify([blob])
    container.client.delete_blob(blob.name)
    with pytest.raises(StagingError, match="is not there"):
        again.verify([blob])
    summary = again.delete()
    assert summary.deleted == [f"{directory.name}/_spark_kusto_staging"]
    assert again.delete().deleted == []
    with pytest.raises(StagingError, match="not the name"):
        storage.directory("db/../other")


@pytest.mark.azurite
def test_a_blob_of_another_directory_is_refused(storage: TransientStorage) -> None:
    with storage.begin("db", "a") as one, storage.begin("db", "b") as two:
        blob = one.upload_stream(io.BytesIO(b"x"))
        with pytest.raises(StagingError, match="is not in staging directory"):
            two.download_grant(blob)
        for name in ("../x", "/x", "a/b", "_spark_kusto_staging"):
            with pytest.raises(StagingError, match="cannot be the name"):
                one.upload_stream(io.BytesIO(b""), name)


@pytest.mark.azurite
def test_driver_objects_are_not_pickled_and_grants_hold_no_key(storage: TransientStorage) -> None:
    with storage.begin("db", "write") as directory:
        blob = directory.upload_stream(io.BytesIO(b"x"))
        for kept in (storage, directory, storage.containers[0]):
            with pytest.raises(StagingError, match="not pickled"):
                pickle.dumps(kept)
        for grant in (directory.upload_grant(), directory.download_grant(blob)):
            assert KEY.encode() not in pickle.dumps(grant)
            assert "sig=" not in repr(grant)
            assert KEY not in repr(grant)
        assert KEY not in repr(storage)
        assert KEY not in repr(storage.containers)
        assert KEY not in repr(directory)


def fields(grant: UploadGrant | DownloadGrant) -> dict[str, str]:
    token = (grant.grants[0] if isinstance(grant, UploadGrant) else grant.grant).signature.token
    return dict(part.split("=", 1) for part in token.split("&"))


@pytest.mark.azurite
def test_grants_are_narrow_and_short(storage: TransientStorage, container: Container) -> None:
    with storage.begin("db", "write") as directory:
        blob = directory.upload_stream(io.BytesIO(b"x"))
        other = directory.upload_stream(io.BytesIO(b"y"))
        upload, download = directory.upload_grant(), directory.download_grant(blob)
        assert fields(upload)["sp"] == "cw"
        assert fields(upload)["sr"] == "c"  # this account has no directories to grant
        assert fields(download)["sp"] == "r"
        assert fields(download)["sr"] == "b"
        for grant in (upload, download):
            ends = datetime.fromisoformat(fields(grant)["se"].replace("%3A", ":").replace("Z", "+00:00"))
            assert timedelta(minutes=58) < ends - datetime.now(timezone.utc) <= timedelta(hours=1)
        wrong = DownloadGrant(other, download.grant, SETTINGS)
        with pytest.raises(StagingError, match="refused the SAS"):
            list(wrong.chunks())
        with pytest.raises(StagingError, match=r"lacks the permission to read \('r'\)"):
            list(DownloadGrant(blob, upload.grants[0], SETTINGS).chunks())


def test_one_directory_is_granted_where_the_account_has_directories() -> None:
    container = parse_container(f"https://acct.blob.core.windows.net/cont/top;{KEY}", hierarchical=True)
    storage = TransientStorage([container])
    directory = storage.directory("db/write-1")
    granted = fields(directory.upload_grant())
    assert (granted["sr"], granted["sdd"], granted["sp"], granted["spr"]) == ("d", "3", "cw", "https")


@pytest.mark.azurite
def test_grants_are_renewed_while_the_driver_lives(container: Container) -> None:
    storage = TransientStorage(
        [parse_container(container.key_url)], sas_lifetime=timedelta(seconds=4), settings=SETTINGS
    )
    with storage.begin("db", "write") as directory:
        directory.renew_grants()
        blob = directory.upload_stream(io.BytesIO(b"data"))
        upload, download = directory.upload_grant(), directory.download_grant(blob)
        upload, download = pickle.loads(pickle.dumps((upload, download)))
        first = download.grant.signature
        assert first.expires is not None
        wait_for(lambda: datetime.now(timezone.utc) > first.expires + timedelta(seconds=1))
        # The SAS it was made with has ended; the grant finds a fresh one.
        assert b"".join(download.chunks()) == b"data"
        later = upload.upload_stream(io.BytesIO(b"later"))
        assert container.get(later.name) == b"later"
        tickets = [name for name in container.names() if "_grants-" in name]
        assert tickets
        for name in tickets:
            assert b"sig" not in container.get(name)
        assert sorted(b.name for b in directory.list()) == sorted([blob.name, later.name])
    assert container.names() == []
    with pytest.raises(StagingError, match=r"SAS expired at|not there"):
        list(download.chunks())


@pytest.mark.azurite
def test_rights_that_were_too_short_say_which_option_makes_them_longer(container: Container) -> None:
    storage = TransientStorage(
        [parse_container(container.key_url)], grant_lifetime=timedelta(seconds=2), settings=SETTINGS
    )
    with storage.begin("db", "write") as directory:
        upload = directory.upload_grant()
        ends = upload.grants[0].signature.expires
        assert ends is not None
        wait_for(lambda: datetime.now(timezone.utc) > ends + timedelta(seconds=1))
        with pytest.raises(
            StagingError, match=r"SAS that the driver made for this job expired at \d{4}-"
        ) as caught:
            upload.upload_stream(io.BytesIO(b"late"))
        assert "stagingSasLifetime" in str(caught.value)
        assert "write_kusto" in str(caught.value)


@pytest.mark.azurite
def test_kusto_gets_urls_that_work_and_no_account_key(storage: TransientStorage) -> None:
    from azure.storage.blob import BlobClient, ContainerClient

    with storage.begin("db", "export") as directory:
        (target,) = directory.kusto_targets()
        assert KEY not in target
        url, _, sas = target.partition("?")
        base, _, path = url.rpartition("/db/")
        ContainerClient.from_container_url(f"{base}?{sas}").upload_blob(
            f"db/{path}/part.parquet", b"exported"
        )
        (blob,) = directory.list()
        assert blob.sha256 is None
        assert b"".join(directory.download_grant(blob).chunks()) == b"exported"
        source = directory.kusto_source(blob)
        assert BlobClient.from_blob_url(source).download_blob().readall() == b"exported"


@pytest.mark.azurite
def test_what_was_replaced_or_damaged_is_noticed(storage: TransientStorage, container: Container) -> None:
    data = noise(4 * BLOCK)
    with storage.begin("db", "write") as directory:
        blob = directory.upload_stream(io.BytesIO(data))
        metadata = container.client.get_blob_client(blob.name).get_blob_properties().metadata
        container.put(blob.name, noise(4 * BLOCK, 2), metadata)
        with pytest.raises(StagingError, match="replaced or deleted meanwhile"):
            list(directory.chunks(blob))
        (listed,) = directory.list()
        with pytest.raises(StagingError, match="not what was staged"):
            list(directory.chunks(listed))
        container.put(blob.name, b"short", metadata)
        (listed,) = directory.list()
        from dataclasses import replace

        with pytest.raises(StagingError, match=f"5 bytes and {len(data)} were staged"):
            list(directory.chunks(replace(listed, length=len(data))))


@pytest.mark.azurite
def test_nothing_is_left_is_noticed_when_untrue(container: Container, tmp_path: Path) -> None:
    containers = [parse_container(container.key_url)]
    with assert_nothing_left(containers, [tmp_path]):
        pass

    def forget() -> None:
        with assert_nothing_left(containers, [tmp_path]):
            container.put("forgotten")
            (tmp_path / "scrap").write_text("x")

    with pytest.raises(StagingError, match=r"(?s)blob .*/forgotten.*file .*scrap"):
        forget()


def test_how_long_staging_lives_comes_from_the_options_of_reads_and_writes() -> None:
    options = {
        "transientStorage": f"https://a.blob.core.windows.net/cont;{KEY}",
        "readExpiry": "60",
        "stagingResourcesAutoCleanupTimeout": "1000000",
        "stagingSasLifetime": "120",
    }
    read, write = (TransientStorage.from_options(options, ingestion=ingestion) for ingestion in (False, True))
    assert read is not None
    assert write is not None
    assert (read.expiry, write.expiry) == (timedelta(seconds=60), timedelta(seconds=1000000))
    assert read.sas_lifetime == timedelta(seconds=120)
    granted = fields(write.directory("db/write-1").upload_grant())
    ends = datetime.fromisoformat(granted["se"].replace("%3A", ":").replace("Z", "+00:00"))
    assert timedelta(hours=23) < ends - datetime.now(timezone.utc) <= timedelta(hours=24)


def test_settings_out_of_range_are_refused() -> None:
    url = f"https://a.blob.core.windows.net/cont;{KEY}"
    for name, value in (("readExpiry", "0"), ("stagingSasLifetime", "soon"), ("stagingKeep", "yes")):
        with pytest.raises(OptionError):
            TransientStorage.from_options({"transientStorage": url, name: value})
    assert TransientStorage.from_options({"kustoTable": "T"}) is None
    with pytest.raises(OptionError):
        TransientStorage([])
