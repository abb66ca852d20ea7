"""What goes wrong on the way: exact bytes in the end, or an error that says where, and never a secret."""

from __future__ import annotations

import io
import logging
import pickle
import random
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from azure.storage.blob import generate_container_sas

from spark_kusto.errors import StagingError
from spark_kusto.staging import Retries, StagingDirectory, TransferSettings, TransientStorage, parse_container
from tests.staging.azurite import ACCOUNT, KEY, Azurite, Container
from tests.staging.conftest import SETTINGS
from tests.staging.faults import FAULTS, FaultyProxy, Rule
from tests.staging.test_transient import BLOCK, noise

pytestmark = pytest.mark.azurite


@pytest.fixture(autouse=True)
def no_secret_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything logs at DEBUG, HTTP libraries too; no line may carry a signature or the key."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.records:
        line = record.getMessage()
        assert KEY not in line
        assert not re.search(r"sig=(?!\*|REDACTED)[A-Za-z0-9%/+]{10}", line), line


def through(proxy: FaultyProxy, container: Container, secret: str | None = None) -> TransientStorage:
    url = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}/{container.name}"
    return TransientStorage([parse_container(url + (secret or f";{KEY}"))], settings=SETTINGS)


def assert_tells_all_but_secrets(error: StagingError, container: str, *secrets: str) -> None:
    again = pickle.loads(pickle.dumps(error))
    texts = [str(error), repr(error), "".join(traceback.format_exception(error)), str(again)]
    assert container in texts[0]
    assert error.__context__ is None
    assert error.__cause__ is None
    for text in texts:
        assert "sig=" not in text.replace("sig=***", "")
        for secret in secrets:
            assert secret not in text


def sometimes(fault: str, share: float, method: str, seed: int = 7) -> Rule:
    """A rule that hits a share of requests with a method, never the same blob operation more than thrice."""
    dice = random.Random(seed)
    hits: dict[str, int] = {}

    def rule(verb: str, path: str, number: int) -> str | None:
        key = f"{verb} {path.split('?')[0]} {re.findall('blockid=[^&]+', path)}"
        if verb != method or dice.random() > share or hits.get(key, 0) >= 3:
            return None
        hits[key] = hits.get(key, 0) + 1
        return fault

    return rule


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "corrupted"])
def test_an_upload_survives(azurite: Azurite, container: Container, fault: str) -> None:
    data = noise(20 * BLOCK + 5)
    with FaultyProxy(azurite.port, sometimes(fault, 0.4, "PUT")) as proxy:
        storage = through(proxy, container)
        with storage.begin("db", "write") as directory:
            blob = directory.upload_grant().upload_stream(io.BytesIO(data))
            small = directory.upload_grant().upload_stream(io.BytesIO(b"small"))
            assert container.get(blob.name) == data
            assert container.get(small.name) == b"small"
            assert proxy.injected
    assert container.names(uncommitted=True) == []


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "corrupted"])
def test_a_download_survives(azurite: Azurite, container: Container, tmp_path: Path, fault: str) -> None:
    data = noise(20 * BLOCK + 5)
    with FaultyProxy(azurite.port, sometimes(fault, 0.3, "GET")) as proxy:
        storage = through(proxy, container)
        with storage.begin("db", "read") as directory:
            blob = directory.upload_stream(io.BytesIO(data))
            grant = directory.download_grant(blob)
            assert grant.download(tmp_path / "copy").read_bytes() == data
            with grant.open() as reader:
                assert reader.read() == data
            assert proxy.injected


def test_the_answer_that_was_lost_was_a_commit(azurite: Azurite, container: Container) -> None:
    def rule(method: str, path: str, number: int) -> str | None:
        return "lost answer" if "comp=blocklist" in path and len(proxy.injected) < 2 else None

    data = noise(3 * BLOCK)
    with (
        FaultyProxy(azurite.port, rule) as proxy,
        through(proxy, container).begin("db", "write") as directory,
    ):
        blob = directory.upload_stream(io.BytesIO(data))
        assert len(proxy.injected) == 2
        assert b"".join(directory.chunks(blob)) == data


def test_a_corrupted_download_is_no_file(azurite: Azurite, container: Container, tmp_path: Path) -> None:
    def rule(method: str, path: str, number: int) -> str | None:
        return "corrupted" if method == "GET" and ".parquet" in path and not proxy.injected else None

    with FaultyProxy(azurite.port, rule) as proxy, through(proxy, container).begin("db", "read") as directory:
        blob = directory.upload_stream(io.BytesIO(noise(5 * BLOCK)))
        with pytest.raises(StagingError, match="not what was staged") as caught:
            directory.download(blob, tmp_path / "copy")
        assert list(tmp_path.iterdir()) == []
        assert not caught.value.permanent
        assert directory.download(blob, tmp_path / "copy").stat().st_size == 5 * BLOCK


def test_a_stream_hands_out_no_byte_that_was_not_staged(azurite: Azurite, container: Container) -> None:
    def rule(method: str, path: str, number: int) -> str | None:
        return "corrupted" if method == "GET" and ".parquet" in path and len(proxy.injected) < hits else None

    data = noise(20 * BLOCK + 9)
    hits = 3
    with FaultyProxy(azurite.port, rule) as proxy, through(proxy, container).begin("db", "read") as directory:
        blob = directory.upload_stream(io.BytesIO(data))
        with directory.download_grant(blob).stream() as stream:
            assert stream.read() == data
        assert len(proxy.injected) == 3
        hits = 1000
        with (
            directory.download_grant(blob).stream() as stream,
            pytest.raises(StagingError, match=r"content is not what was staged.* Tried 6 times") as caught,
        ):
            stream.read(10)
        assert_tells_all_but_secrets(caught.value, container.name, KEY)


def test_what_is_written_as_a_file_is_there_whole_or_not_at_all(
    azurite: Azurite, container: Container
) -> None:
    data = noise(9 * BLOCK + 5)
    rule = always("unavailable", lambda method, path: "comp=block" in path and "/broken-" in path)
    with FaultyProxy(azurite.port, rule) as proxy, through(proxy, container).begin("db", "read") as directory:
        with directory.writer("good.parquet") as writer:
            for start in range(0, len(data), 1000):
                writer.write(data[start : start + 1000])
            assert writer.tell() == len(data)
            assert directory.list() == []
            blob = writer.finish()
        assert container.get(blob.name) == data
        assert len(blob.block_hashes) == 10
        with directory.writer("empty.parquet") as writer:
            assert container.get(writer.finish().name) == b""
        with directory.writer("given-up.parquet") as writer:
            writer.write(data)
        with (
            directory.writer("broken.parquet") as writer,
            pytest.raises(StagingError, match="503 ServerBusy") as caught,
        ):
            writer.write(data)  # waits for earlier blocks
        assert_tells_all_but_secrets(caught.value, container.name, KEY)
        names = sorted(name.rpartition("/")[2].split("-")[0] for name in container.names())
        assert names == ["_spark_kusto_staging", "empty", "good"]
    assert container.names(uncommitted=True) == []


def always(fault: str, where: Callable[[str, str], bool]) -> Rule:
    return lambda method, path, number: fault if where(method, path) else None


@pytest.mark.parametrize(
    ("fault", "words"),
    [("unavailable", "503 ServerBusy"), ("throttled", "429"), ("reset", "connection failed")],
)
def test_what_never_recovers_ends_in_an_error_and_no_blob(
    azurite: Azurite, container: Container, fault: str, words: str
) -> None:
    rule = always(fault, lambda method, path: "comp=block" in path)
    with FaultyProxy(azurite.port, rule) as proxy:
        sas = container.sas()
        with through(proxy, container, f"?{sas}").begin("db", "write") as directory:
            with pytest.raises(StagingError, match=words) as caught:
                directory.upload_grant().upload_stream(io.BytesIO(noise(9 * BLOCK)))
            assert "Could not upload blob 'db/write-" in str(caught.value)
            assert "Tried 6 times" in str(caught.value)
            assert not caught.value.permanent
            assert_tells_all_but_secrets(caught.value, container.name, sas)
            assert directory.list() == []
    assert container.names(uncommitted=True) == []


def test_a_truncated_body_that_stays_truncated(
    azurite: Azurite, container: Container, tmp_path: Path
) -> None:
    rule = always("truncated", lambda method, path: method == "GET" and ".parquet" in path)
    with FaultyProxy(azurite.port, rule) as proxy, through(proxy, container).begin("db", "read") as directory:
        blob = directory.upload_stream(io.BytesIO(noise(3 * BLOCK)))
        with pytest.raises(StagingError, match=r"Could not download blob .* Tried 6 times") as caught:
            directory.download_grant(blob).download(tmp_path / "copy")
        assert_tells_all_but_secrets(caught.value, container.name, KEY)
        assert list(tmp_path.iterdir()) == []


# -- refusals -------------------------------------------------------------------------------------


def begin(text: str) -> StagingDirectory:
    return TransientStorage([parse_container(text)], settings=SETTINGS).begin("db", "write")


def test_wrong_key(container: Container) -> None:
    wrong = KEY[:4] + KEY[4:].swapcase()
    with pytest.raises(StagingError, match="service refused the account key") as caught:
        begin(f"{container.url};{wrong}")
    assert_tells_all_but_secrets(caught.value, container.name, wrong)
    assert caught.value.permanent


def test_expired_sas(container: Container) -> None:
    sas = container.sas(lifetime=timedelta(hours=-1))
    with pytest.raises(StagingError, match=r"the SAS expired at \d{4}-\d\d-\d\d") as caught:
        begin(f"{container.url}?{sas}")
    assert_tells_all_but_secrets(caught.value, container.name, sas)


def test_a_sas_of_the_future(container: Container) -> None:
    now = datetime.now(timezone.utc)
    sas = generate_container_sas(
        ACCOUNT,
        container.name,
        account_key=KEY,
        permission="racwdl",
        start=now + timedelta(hours=1),
        expiry=now + timedelta(hours=2),
    )
    with pytest.raises(StagingError, match=r"the SAS is not valid before \d{4}-\d\d-\d\d") as caught:
        begin(f"{container.url}?{sas}")
    assert_tells_all_but_secrets(caught.value, container.name, sas)


def test_forged_sas(container: Container) -> None:
    sas = container.sas()[:-12] + "AAAAAAAA%3D"
    with pytest.raises(StagingError, match="service refused the SAS") as caught:
        begin(f"{container.url}?{sas}")
    assert_tells_all_but_secrets(caught.value, container.name, sas)


def test_read_only_sas_for_a_write(container: Container) -> None:
    sas = container.sas("rl")
    with pytest.raises(StagingError, match=r"the SAS lacks the permission to write \('w'\)") as caught:
        begin(f"{container.url}?{sas}")
    assert_tells_all_but_secrets(caught.value, container.name, sas)
    assert container.names() == []


def test_missing_container(azurite: Azurite) -> None:
    with pytest.raises(StagingError, match="container 'nowhere' does not exist") as caught:
        begin(f"{azurite.endpoint}/nowhere;{KEY}")
    assert_tells_all_but_secrets(caught.value, "nowhere", KEY)


def test_a_sas_that_cannot_clean_up_says_so(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    with begin(f"{container.url}?{container.sas('rcw')}") as directory:
        blob = directory.upload_stream(io.BytesIO(b"x"))
        assert b"".join(directory.download_grant(blob).chunks()) == b"x"
    assert "lacks the permission to delete ('d') and list ('l')" in caplog.text
    assert "Staged blobs may be left behind" in caplog.text
    assert "could not look into 1: Could not list" in caplog.text
    assert blob.name in container.names()


def test_one_of_several_containers_is_missing_and_the_others_stay_clean(
    azurite: Azurite, container: Container
) -> None:
    storage = TransientStorage(
        [parse_container(container.key_url), parse_container(f"{azurite.endpoint}/nowhere;{KEY}")],
        settings=SETTINGS,
    )
    with pytest.raises(StagingError, match="'nowhere' does not exist"):
        storage.begin("db", "write")
    assert container.names() == []


def test_container_deleted_in_mid_read(
    azurite: Azurite, container: Container, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = begin(container.key_url)
    blob = directory.upload_stream(io.BytesIO(noise(40 * BLOCK)))
    grant = directory.download_grant(blob)
    pieces = grant.chunks()
    assert len(next(pieces)) == BLOCK
    container.delete()
    with pytest.raises(StagingError, match=f"container '{container.name}' does not exist") as caught:
        for _ in pieces:
            pass
    assert_tells_all_but_secrets(caught.value, container.name, grant.grant.signature.token)
    with pytest.raises(StagingError, match="does not exist"):
        grant.download(tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
    # With the container all that was staged is gone.
    summary = directory.delete()
    assert (summary.refused, summary.unseen) == ([], [])
    assert "left behind" not in caplog.text


def test_blob_deleted_in_mid_read(container: Container) -> None:
    with begin(container.key_url) as directory:
        blob = directory.upload_stream(io.BytesIO(noise(40 * BLOCK)))
        with directory.download_grant(blob).open() as reader:
            assert len(reader.read(10)) == 10
            container.client.delete_blob(blob.name)
            with pytest.raises(StagingError, match=r"replaced or deleted meanwhile|not there"):
                reader.read()


def test_no_service_at_all() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{ACCOUNT}/cont;{KEY}"
    settings = TransferSettings(retries=Retries(2, 0.01, 0.01))
    with pytest.raises(StagingError, match="the connection failed") as caught:
        TransientStorage([parse_container(url)], settings=settings).begin("db", "write")
    assert_tells_all_but_secrets(caught.value, "cont", KEY)


def test_an_unknown_account() -> None:
    settings = TransferSettings(retries=Retries(1))
    container = parse_container(f"https://nosuchaccount.blob.invalid/cont;{KEY}")
    with pytest.raises(StagingError, match="host of account 'nosuchaccount' is unknown"):
        TransientStorage([container], settings=settings).begin("db", "write")


def test_a_source_that_fails_leaves_no_blob(container: Container) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 3 * BLOCK:
                raise OSError("the disk is gone")
            return super().read(size)

    with begin(container.key_url) as directory:
        with pytest.raises(OSError, match="the disk is gone"):
            directory.upload_stream(Broken(noise(9 * BLOCK)))
        assert directory.list() == []
    assert container.names(uncommitted=True) == []


def test_a_stream_that_gives_little_at_a_time(container: Container) -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 1000))

    data = noise(3 * BLOCK + 1)
    with begin(container.key_url) as directory:
        blob = directory.upload_stream(Dribble(data))
        assert b"".join(directory.chunks(replace(blob, etag=None))) == data
