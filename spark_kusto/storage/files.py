"""The boundary to the file system: durable writes, links, and what kind of disk this is.

Errors of the operating system become :class:`StorageError` here, and :func:`reached` is where tests
stop a process: it is called at every point between two steps of a change.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spark_kusto.errors import NetworkFileSystemError, StorageError, StorageFullError

observer: Callable[[str], None] | None = None
"""Called with the name of every point that a change passes; tests kill the process from it."""


def reached(point: str) -> None:
    """Say that a change has come to a point between two of its steps."""
    if observer is not None:
        observer(point)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def storage_errors(action: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError inside the block into the StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        raise translate(error, action, path) from error


def translate(error: OSError, action: str, path: str | os.PathLike[str]) -> StorageError:
    """The StorageError for an OSError met while doing ``action`` to ``path``."""
    reason = error.strerror or str(error)
    message = f"Cannot {action} '{os.fspath(path)}': {reason}."
    if error.errno in _FULL or "No space left" in str(error):
        return StorageFullError(
            message,
            remedy="Nothing was committed; free space on this disk (or raise the quota) and try again.",
        )
    if error.errno in _DENIED:
        return StorageError(
            message, remedy="Give this user write permission there, or choose another directory."
        )
    if error.errno == errno.ENOENT:
        return StorageError(
            message,
            remedy="If this process runs on another machine, the directory must be visible there too.",
        )
    return StorageError(message)


def sync_file(path: str | os.PathLike[str]) -> None:
    """Bring a file's bytes to the disk itself."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Bring a folder's entries to the disk itself."""
    _sync(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))


def _sync(path: str | os.PathLike[str], flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        if sys.platform == "darwin":
            # fsync() there leaves the bytes in the drive's cache.
            import fcntl

            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file's content atomically: after a crash it holds the old or the new bytes."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    with storage_errors("write", path):
        try:
            scratch.write_bytes(content)
            sync_file(scratch)
            os.replace(scratch, path)
            sync_folder(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


def remove_file(path: str | os.PathLike[str]) -> int:
    """Remove a file if it is there; returns the bytes that this freed (0 while another link holds them)."""
    try:
        status = os.stat(path)
        os.unlink(path)
    except FileNotFoundError:
        return 0
    return status.st_size if status.st_nlink == 1 else 0


def require_links(folder: Path) -> None:
    """Refuse a file system without hard links: commits rest on them.

    Raises:
        StorageError: the folder cannot be written, or links are not to be had.
    """
    source = folder / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
    target = source.with_suffix(".link")
    with storage_errors("write to", folder):
        source.touch()
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in _FULL:
            raise translate(error, "write to", folder) from error
        raise StorageError(
            f"The file system of '{folder}' has no hard links ({error.strerror}).",
            remedy="Put the cluster on a local disk with a POSIX file system (ext4, xfs, btrfs, APFS ...).",
        ) from error
    finally:
        target.unlink(missing_ok=True)
        source.unlink(missing_ok=True)


# -- which file system ----------------------------------------------------------------------------

_NETWORK_KINDS = (
    "nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs afpfs afs ceph glusterfs lustre beegfs "
    "gpfs pvfs2 orangefs ocfs2 gfs gfs2 davfs webdav ncpfs coda 9p drvfs prl_fs vboxsf vmhgfs"
)
_FUSE_KINDS = (
    "sshfs s3fs rclone gcsfuse goofys blobfuse blobfuse2 davfs2 glusterfs ceph "
    "ceph-fuse cephfs juicefs mountpoint-s3 hadoop-fuse-dfs alluxio-fuse "
    "moosefs seaweedfs curlftpfs wsfs dbfs vmhgfs-fuse"
)
_NETWORK = frozenset(_NETWORK_KINDS.split()) | {f"fuse.{kind}" for kind in _FUSE_KINDS.split()}


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """Name of the type of file system a path is on, such as ``ext4``; None if unknown.

    ``mounts`` stands in for the system's list in tests: the text of Linux' ``/proc/self/mountinfo``.
    """
    real = os.path.realpath(path)
    best: tuple[str, str | None] = ("", None)
    for point, kind in _linux_mounts(mounts) if mounts or sys.platform == "linux" else _mac_mounts():
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # Later lines cover earlier ones at the same point.
        if inside and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _linux_mounts(text: str | None) -> Iterator[tuple[str, str]]:
    if text is None:
        try:
            text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) > 4:
            yield (
                fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"),
                right.split(" ")[0],
            )


def _mac_mounts() -> Iterator[tuple[str, str]]:
    try:
        listing = subprocess.run(
            ["/sbin/mount"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return
    for line in listing.splitlines():
        _, _, rest = line.partition(" on ")
        point, _, options = rest.rpartition(" (")
        if point:
            yield point, options.split(",")[0].rstrip(")")


def require_local(path: Path, mounts: str | None = None) -> None:
    """Refuse a path on a network file system.

    SQLite's write-ahead log needs memory shared between the processes that open it, and locks that
    are honoured; neither holds over a network (SQLite documentation, "Write-Ahead Logging").

    Raises:
        NetworkFileSystemError: it is on one; the type is named.
    """
    existing = path
    # os.path.exists() also says no to what may not be looked into.
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    kind = file_system_of(existing, mounts)
    if kind is None or kind.lower() not in _NETWORK:
        return
    if kind == "9p" and file_system_of(Path("/"), mounts) == "9p":
        return  # a sandbox whose whole disk is served this way, to one kernel only
    raise NetworkFileSystemError(
        f"'{path}' is on a network file system ({kind}): several processes cannot share a cluster there.",
        remedy="Keep the cluster on a local disk; executors on other machines read and write through blobs.",
    )
