"""Opening, creating and refusing a cluster's directory; databases."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from spark_kusto.errors import (
    EntityExistsError,
    EntityNotFoundError,
    NetworkFileSystemError,
    NewerFormatError,
    NotAClusterError,
    StorageError,
)
from spark_kusto.storage import Root
from spark_kusto.storage import files as fs
from tests.storage.rows import ingest, read


def test_a_new_cluster_has_the_default_database(tmp_path: Path) -> None:
    root = Root.open(tmp_path / "a" / "b")
    assert root.database_names() == ("NetDefaultDB",)
    again = Root.open(tmp_path / "a" / "b", create=False)
    assert again.id == root.id
    assert again.database("netdefaultdb").id == root.database("NetDefaultDB").id


def test_databases_that_no_list_names_are_kept(tmp_path: Path) -> None:
    """A lost or restored list of databases is not taken for creations that were cut short."""
    path = tmp_path / "cluster"
    root = Root.open(path)
    backup = {
        name: (path / name).read_bytes() for name in os.listdir(path) if name.startswith("cluster.sqlite")
    }
    folder = path / root.create_database("Later").id
    ingest(root.database("Later"), "T", {"a": [1, 2, 3]})
    extents = sorted(os.listdir(folder / "extents"))
    assert extents
    for file in path.glob("cluster.sqlite*"):
        file.unlink()
    with pytest.raises(NotAClusterError, match=r"cluster\.sqlite', which lists them, is missing"):
        Root.open(path)
    for name, content in backup.items():
        (path / name).write_bytes(content)
    restored = Root.open(path)
    assert "Later" not in restored.database_names()
    restored.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=30))
    assert sorted(os.listdir(folder / "extents")) == extents


def test_databases_are_created_listed_and_dropped(root: Root) -> None:
    root.create_database("Telemetry", pretty_name="T")
    assert root.database_names() == ("NetDefaultDB", "Telemetry")
    with pytest.raises(EntityExistsError):
        root.create_database("telemetry")
    assert root.create_database("Telemetry", if_not_exists=True).name == "Telemetry"
    with pytest.raises(EntityNotFoundError, match="Did you mean 'Telemetry'"):
        root.database("Telemetri")
    root.alter_database("Telemetry", pretty_name="New")
    assert root.databases()[1].pretty_name == "New"
    assert root.drop_database("Telemetry")
    assert not root.drop_database("Telemetry", if_exists=True)
    with pytest.raises(EntityNotFoundError):
        root.drop_database("Telemetry")
    assert [entry.event for entry in root.journal()] == [
        "CREATE-DATABASE",
        "CREATE-DATABASE",
        "ALTER-DATABASE",
        "DROP-DATABASE",
    ]


def test_the_last_database_may_be_dropped_and_does_not_come_back(root: Root) -> None:
    root.drop_database("NetDefaultDB")
    assert Root.open(root.path).database_names() == ()


def test_a_dropped_databases_directory_goes_after_its_grace(root: Root) -> None:
    database = root.create_database("Gone")
    root.drop_database("Gone")
    root.sweep()
    assert database.path.exists()
    root.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=5))
    assert not database.path.exists()
    assert root.database("NetDefaultDB").path.exists()


@pytest.mark.parametrize("create", [True, False])
def test_directories_of_others_are_refused(tmp_path: Path, create: bool) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(NotAClusterError):
        Root.open(tmp_path, create=create)
    assert os.listdir(tmp_path) == ["thesis.docx"]


def test_a_file_is_no_cluster(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(NotAClusterError, match="is a file"):
        Root.open(path)


def test_nothing_is_created_when_that_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(NotAClusterError, match="does not exist"):
        Root.open(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("content", [b"x" * 4096, b"SQLite format 3\0" + b"x" * 4080])
def test_a_catalog_that_is_no_catalog_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cluster.sqlite").write_bytes(content)
    with pytest.raises(NotAClusterError):
        Root.open(tmp_path)


def test_a_catalog_of_another_application_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "cluster.sqlite")
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    with pytest.raises(NotAClusterError, match="another application"):
        Root.open(tmp_path)


def test_a_newer_format_is_refused_with_the_remedy(root: Root) -> None:
    connection = sqlite3.connect(root.path / "cluster.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerFormatError, match="Upgrade spark-kusto"):
        Root.open(root.path)
    with pytest.raises(NewerFormatError):
        Root.open(root.path, create=False)


def _messages(paths: list[Path], out: multiprocessing.Queue[str]) -> None:
    if os.geteuid() == 0:  # root may write everywhere
        os.setegid(65534)
        os.seteuid(65534)
    for path in paths:
        try:
            Root.open(path)
            out.put("opened")
        except StorageError as error:
            out.put(str(error))


def test_a_root_that_cannot_be_written_is_refused(root: Root, tmp_path: Path) -> None:
    root.close()
    locked = tmp_path / "locked"
    locked.mkdir()
    for path in (tmp_path, *tmp_path.parents):
        if path.name.startswith(("suite-", "pytest-", "popen-", "test_")):
            path.chmod(0o755)
    for path in (root.path, locked):
        path.chmod(0o555)
    context = multiprocessing.get_context("fork")
    out: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_messages, args=([root.path, locked / "new"], out))
    process.start()
    existing, new = out.get(timeout=60), out.get(timeout=60)
    process.join(60)
    for path in (root.path, locked):
        path.chmod(0o755)
    assert "is not writable" in existing
    assert "Permission denied" in new
    assert "permission" in existing
    assert "permission" in new


MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /mnt/share rw - nfs4 server:/export rw
31 22 0:26 / /mnt/share/local rw - xfs /dev/vdb rw
32 22 0:27 / /mnt/my\\040blobs rw - fuse.blobfuse2 blobfuse2 rw
33 22 0:28 / /mnt/windows rw - 9p drvfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/share/cluster", "nfs4"),
        ("/mnt/my blobs/x", "fuse.blobfuse2"),
        ("/mnt/windows/x", "9p"),
        ("/mnt/share/local/x", None),
        ("/home/me", None),
        ("/mnt/shared", None),
    ],
)
def test_network_file_systems_are_refused_with_the_remedy(path: str, kind: str | None) -> None:
    if kind is None:
        assert fs.file_system_of(Path(path), MOUNTS) in ("ext4", "xfs")
        fs.require_local(Path("/tmp"), MOUNTS)
        return
    assert fs.file_system_of(Path(path), MOUNTS) == kind
    mounted = MOUNTS.replace(" /mnt/share ", " /tmp ").replace(" /mnt/windows ", " /tmp ")
    with pytest.raises(NetworkFileSystemError, match="Keep the cluster on a local disk"):
        fs.require_local(Path("/tmp/cluster"), mounted)


def test_a_sandbox_served_whole_over_9p_is_local(tmp_path: Path) -> None:
    fs.require_local(tmp_path, "22 1 0:1 / / rw - 9p none rw\n")


def test_a_removed_root_does_not_come_back_empty(root: Root) -> None:
    database = root.database("NetDefaultDB")
    root.close()
    shutil.rmtree(root.path)
    with pytest.raises(StorageError):
        database.snapshot()
    assert not root.path.exists()


def _open(path: str, out: multiprocessing.Queue[str]) -> None:
    opened = Root.open(path)
    out.put(f"{opened.id} {opened.database('NetDefaultDB').id}")


def test_many_processes_may_create_one_cluster(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_open, args=(str(tmp_path / "c"), out)) for _ in range(6)]
    for process in processes:
        process.start()
    answers = {out.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(answers) == 1
    root = Root.open(tmp_path / "c")
    folders = [entry for entry in root.path.iterdir() if entry.is_dir()]
    assert [folder.name for folder in folders] == [root.database("NetDefaultDB").id]


def test_connections_do_not_cross_a_fork(root: Root) -> None:
    database = root.database("NetDefaultDB")
    ingest(database, "T", {"a": [1]})
    context = multiprocessing.get_context("fork")

    def child() -> None:
        ingest(database, "T", {"a": [2]})
        os._exit(0 if read(database, "T") == [1, 2] else 1)

    process = context.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert read(database, "T") == [1, 2]
    ingest(database, "T", {"a": [3]})
    assert read(database, "T") == [1, 2, 3]


def test_opening_a_root_again_leaves_the_locks_of_who_has_it_open(tmp_path: Path) -> None:
    """Otherwise the next process to end removes the log under an open connection: a damaged catalog."""
    path = tmp_path / "cluster"
    first = Root.open(path)
    ingest(first.database("NetDefaultDB"), "T", {"a": [1]})
    logs = {log: log.stat().st_ino for log in path.rglob("*.sqlite-wal")}
    assert len(logs) == 2
    Root.open(path).close()
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_open_write_and_close, args=(path,))
    other.start()
    other.join()
    assert other.exitcode == 0
    assert {log: log.stat().st_ino for log in path.rglob("*.sqlite-wal")} == logs
    first.close()


def _open_write_and_close(path: Path) -> None:
    root = Root.open(path)
    ingest(root.database("NetDefaultDB"), "T", {"a": [2]})
    root.close()
