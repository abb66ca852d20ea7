"""The clean-up utilities against a real blob service."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone

import pytest

from spark_kusto.cli import main
from spark_kusto.errors import OptionError, StagingError
from spark_kusto.staging import (
    CleanupSummary,
    TransientStorage,
    cleanup_after,
    delete_directory,
    list_directory,
    parse_container,
    sweep_expired,
)
from spark_kusto.staging.removal import survey
from tests.staging.azurite import KEY, Container, wait_for
from tests.staging.conftest import SETTINGS

pytestmark = pytest.mark.azurite


def staged(container: Container, database: str = "db", blobs: int = 3) -> str:
    """Stage some blobs and forget them, as a job that dies does; returns the directory's name."""
    storage = TransientStorage([parse_container(container.key_url)], settings=SETTINGS)
    directory = storage.begin(database, "write")
    for number in range(blobs):
        directory.upload_stream(io.BytesIO(b"x" * 100), f"part-{number}.parquet")
    return directory.name


def test_by_account_and_by_sas_url(container: Container) -> None:
    for delete in (
        lambda name: delete_directory(container.azurite.endpoint, container.name, name, KEY),
        lambda name: delete_directory(container.azurite.endpoint, container.name, name, container.sas("ld")),
        lambda name: delete_directory(f"{container.url}/{name}?{container.sas('ld')}"),
        lambda name: delete_directory(container.sas_url("ld"), directory=name),
        lambda name: delete_directory(f"{container.url}/{name};{KEY}"),
    ):
        name, other = staged(container), staged(container)
        summary = delete(name)
        assert len(summary.deleted) == 4
        assert summary.bytes >= 300
        assert not summary.refused
        summary.raise_for_refused()
        assert "deleted 4 blobs" in str(summary)
        assert "sig=" not in str(summary)
        assert all(blob.startswith(other) for blob in container.names())
        delete(other)
        assert container.names() == []


def test_all_databases_of_a_container_at_once(container: Container) -> None:
    staged(container, "a")
    staged(container, "b")
    summary = delete_directory(container.key_url)
    assert len(summary.deleted) == 8
    assert container.names() == []


def test_a_directory_is_no_prefix_of_names(container: Container) -> None:
    for name in ("db/write-1/x", "db/write-10/x", "db/write-1x"):
        container.put(name)
    summary = delete_directory(container.key_url, directory="db/write-1", anything=True)
    assert summary.deleted == ["db/write-1/x"]
    assert container.names() == ["db/write-10/x", "db/write-1x"]


def test_what_others_put_there_is_refused_unless_told(container: Container) -> None:
    name = staged(container)
    container.put("db/report.csv", b"theirs")
    container.put("theirs/deep/file", b"theirs")
    summary = delete_directory(container.sas_url())
    assert len(summary.deleted) == 4
    assert {refusal.name for refusal in summary.refused} == {"db/report.csv", "theirs/deep/file"}
    assert "2 x not staged by spark-kusto (anything=True, or --anything" in str(summary)
    with pytest.raises(StagingError, match="not complete"):
        summary.raise_for_refused()
    assert container.names() == ["db/report.csv", "theirs/deep/file"]
    with pytest.raises(OptionError, match="would delete everything in container"):
        delete_directory(container.sas_url(), anything=True)
    assert delete_directory(container.sas_url(), directory="theirs", anything=True).deleted == [
        "theirs/deep/file"
    ]
    assert container.names() == ["db/report.csv"]
    assert name not in str(container.names())


def test_blobs_that_a_cluster_exported_are_ours_by_their_directory(container: Container) -> None:
    name = staged(container)
    container.put(f"{name}/export_1_abc.parquet", b"exported")
    container.put(f"{name}/deeper/export_2.parquet", b"exported")
    # Also when only a part of the directory is named.
    assert delete_directory(container.key_url, directory=f"{name}/deeper").deleted == [
        f"{name}/deeper/export_2.parquet"
    ]
    assert len(delete_directory(container.key_url, directory=name).deleted) == 5
    assert container.names() == []


def test_dry_run_and_progress(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    name = staged(container)
    summary = delete_directory(container.key_url, directory=name, dry_run=True)
    assert summary.dry_run
    assert "would delete 4 blobs" in str(summary)
    assert len(container.names()) == 4
    seen: list[str] = []
    delete_directory(container.key_url, directory=name, progress=seen.append)
    assert sorted(seen) == sorted(summary.deleted)
    assert seen[-1].endswith("_spark_kusto_staging")
    delete_directory(container.key_url, directory=staged(container), progress=True)
    assert "4 deleted" in capsys.readouterr().err


def test_not_recursive(container: Container) -> None:
    name = staged(container)
    container.put(f"{name}/deeper/file")
    assert len(delete_directory(container.key_url, directory=name, recursive=False).deleted) == 3 + 1
    assert container.names() == [f"{name}/deeper/file"]


def test_older_than(container: Container) -> None:
    name = staged(container)
    summary = delete_directory(container.key_url, directory=name, older_than=timedelta(hours=1))
    assert summary.deleted == []
    assert len(summary.younger) == 4
    assert "left 4 younger ones" in str(summary)
    later = datetime.now(timezone.utc) + timedelta(seconds=2)
    assert len(delete_directory(container.key_url, directory=name, older_than=later).deleted) == 4
    with pytest.raises(OptionError, match="time zone"):
        delete_directory(container.key_url, older_than=datetime(2024, 1, 1))


@pytest.mark.parametrize(
    ("permissions", "words"),
    [("rd", r"lacks the permission to list \('l'\)"), ("rl", r"lacks the permission to delete \('d'\)")],
)
def test_a_missing_permission_is_named(container: Container, permissions: str, words: str) -> None:
    name = staged(container)
    sas = container.sas(permissions)
    with pytest.raises(StagingError, match=words) as caught:
        delete_directory(f"{container.url}/{name}?{sas}")
    assert container.name in str(caught.value)
    assert "sig" not in str(caught.value)
    assert len(container.names()) == 4


def test_what_the_service_refuses_is_in_the_summary_and_can_be_tried_again(container: Container) -> None:
    name = staged(container)
    held = next(n for n in container.names() if "part-1" in n)
    lease = container.client.get_blob_client(held).acquire_lease()
    summary = delete_directory(container.key_url, directory=name)
    assert [refusal.name for refusal in summary.refused] == [held]
    assert "LeaseIdMissing" in summary.refused[0].reason
    assert sorted(container.names()) == sorted([held, f"{name}/_spark_kusto_staging"])
    lease.release()
    assert len(delete_directory(container.key_url, directory=name).deleted) == 2
    assert container.names() == []


def test_directories_of_a_hierarchical_namespace_go_last(container: Container) -> None:
    name = staged(container)
    folder = {"hdi_isfolder": "true"}
    container.put(name, b"", folder)
    container.put(f"{name}/deeper", b"", folder)
    container.put(f"{name}/deeper/deepest", b"", folder)
    container.put(f"{name}/deeper/deepest/file")
    summary = delete_directory(container.key_url, directory=name)
    assert summary.deleted[-3:] == [f"{name}/deeper/deepest", f"{name}/deeper", name]
    assert container.names() == []


def test_only_what_expired_is_swept(container: Container) -> None:
    storage = TransientStorage(
        [parse_container(container.key_url)], expiry=timedelta(seconds=1), settings=SETTINGS
    )
    dead = storage.begin("db", "read").name
    living = staged(container)
    container.put("db/theirs")
    later = datetime.now(timezone.utc) + timedelta(seconds=5)
    dry = sweep_expired(container.key_url, now=later, dry_run=True)
    assert dry.deleted == [f"{dead}/_spark_kusto_staging"]
    assert sweep_expired(container.sas_url("ld"), now=later).deleted == dry.deleted
    assert sweep_expired(container.key_url, now=later).deleted == []
    assert len(container.names()) == 5
    assert len(sweep_expired(container.key_url, now=later + timedelta(days=1)).deleted) == 4
    assert container.names() == ["db/theirs"]
    assert living not in str(container.names())


def test_a_task_that_outlives_its_transaction_is_swept_too(container: Container) -> None:
    storage = TransientStorage([parse_container(container.key_url)], settings=SETTINGS)
    directory = storage.begin("db", "write")
    grant = directory.upload_grant()
    directory.delete()
    late = grant.upload_stream(io.BytesIO(b"late"))
    assert sweep_expired(container.key_url).deleted == []
    after = directory.expires + timedelta(seconds=1)
    assert sweep_expired(container.key_url, now=after).deleted == [late.name]


def test_beginning_sweeps_what_reads_left(
    container: Container, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"transientStorage": container.key_url, "readExpiry": "1"}
    storage = TransientStorage.from_options(options, settings=SETTINGS)
    assert storage is not None
    left = storage.begin("db", "read")
    left.upload_stream(io.BytesIO(b"x"))
    wait_for(lambda: datetime.now(timezone.utc) > left.expires + timedelta(seconds=1))
    monkeypatch.setattr("spark_kusto.staging.transient._next_sweep", {})
    with caplog.at_level("INFO", "spark_kusto.staging"), storage.begin("db", "read") as directory:
        assert container.names() == [f"{directory.name}/_spark_kusto_staging"]
    assert "Swept expired staging" in caplog.text
    # A SAS that may not list or delete is no reason to fail.
    monkeypatch.setattr("spark_kusto.staging.transient._next_sweep", {})
    TransientStorage([parse_container(container.sas_url("rcw"))], settings=SETTINGS).begin("db", "read")


def test_the_command_cleans_up(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    name = staged(container)
    container.put("theirs")
    url = container.sas_url("ld")
    assert main(["cleanup", f"{url}", "--dry-run"]) == 1
    shown = capsys.readouterr().out
    assert "would delete 4 blobs" in shown
    assert shown.count(f"  would delete {name}/") == 4
    assert "  left theirs: not staged by spark-kusto" in shown
    assert main(["cleanup", url, "--expired"]) == 0
    assert main(["cleanup", url]) == 1
    shown = capsys.readouterr()
    assert "deleted 4 blobs" in shown.out
    assert "1 x not staged by spark-kusto" in shown.out
    assert "sig=" not in shown.out + shown.err
    assert container.names() == ["theirs"]
    assert main(["cleanup", container.sas_url("r")]) != 0
    shown = capsys.readouterr()
    assert "lacks the permission to list ('l')" in shown.err
    assert name not in shown.err


def test_the_command_reads_a_url_from_its_input_and_signs_in(
    container: Container, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    staged(container)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{container.sas_url('ld')}\n"))
    assert main(["cleanup", "-", "--dry-run"]) == 0
    assert "would delete 4 blobs" in capsys.readouterr().out
    # With no SAS and nobody signed in it says what is missing; a method that is none is refused.
    assert main(["cleanup", container.url]) == 2
    assert "Nothing says how to get into container" in capsys.readouterr().err
    assert main(["cleanup", container.url, "--auth", "magic"]) == 2
    assert "azureCli" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["cleanup", container.url.replace("http://", "https://"), "--auth", "azureCli"]) == 2
    assert "Azure CLI" in capsys.readouterr().err
    assert len(container.names()) == 4


def fail_within(container: Container) -> CleanupSummary:
    with cleanup_after(container.sas_url()) as summary:
        staged(container)
        container.put("db/new-but-theirs")
        raise KeyError("the cell failed")
    return summary


def test_a_notebook_cell_tidies_up_after_itself(container: Container) -> None:
    before = staged(container)
    with cleanup_after(container.sas_url()) as summary:
        staged(container)
    assert len(summary.deleted) == 4
    with pytest.raises(KeyError, match="the cell failed"):
        fail_within(container)
    assert len(container.names()) == 5
    assert "db/new-but-theirs" in container.names()
    assert all(name.startswith(before) for name in container.names() if "theirs" not in name)


def test_many_blobs_take_several_pages(container: Container) -> None:
    name = staged(container, blobs=0)
    for number in range(30):
        container.put(f"{name}/{number}")
    storage = TransientStorage([parse_container(container.key_url)], settings=SETTINGS)
    with storage.open_channel(storage.signers[0]) as channel:
        paged = survey(channel, f"{name}/", page_size=7)
    found = list_directory(container.key_url, directory=name)
    assert paged == found
    assert len(found) == 31
    assert all(blob.ours for blob in found)
    assert len(delete_directory(container.key_url, directory=name).deleted) == 31


def test_nothing_there_is_no_error_and_no_place_is_one(container: Container) -> None:
    assert delete_directory(container.key_url, directory="no/such").deleted == []
    with pytest.raises(OptionError, match="needs a container"):
        delete_directory("account")
    with pytest.raises(OptionError, match="how to get into"):
        delete_directory("account", "cont", "dir")
