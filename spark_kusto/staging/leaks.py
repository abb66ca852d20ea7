"""Proof that nothing is left: blobs, files and processes before and after.

::

    with assert_nothing_left(containers=[container], folders=["/tmp/kusto"]):
        run_the_suite()
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spark_kusto.errors import StagingError
from spark_kusto.staging.cleanup import list_containers
from spark_kusto.staging.containers import StorageContainer

__all__ = ["Inventory", "assert_nothing_left", "take_inventory"]


@dataclass(frozen=True)
class Inventory:
    """What exists at one moment.

    Attributes:
        blobs: URLs, uncommitted uploads included.
        files: paths below the folders.
        processes: ids of this process's descendants with their command lines.
    """

    blobs: frozenset[str]
    files: frozenset[str]
    processes: frozenset[tuple[int, str]]

    def left_since(self, before: Inventory) -> list[str]:
        """What is here and was not before, one line each."""
        return [
            *(f"blob {url}" for url in sorted(self.blobs - before.blobs)),
            *(f"file {path}" for path in sorted(self.files - before.files)),
            *(f"process {pid}: {command}" for pid, command in sorted(self.processes - before.processes)),
        ]


def take_inventory(
    containers: Iterable[StorageContainer] = (), folders: Iterable[str | os.PathLike[str]] = ()
) -> Inventory:
    """List blobs of containers, files below folders, and this process's descendants (on Linux).

    Raises:
        StagingError: a container cannot be listed.
    """
    blobs = {container.address.blob_url(found.name) for container, found in list_containers(containers)}
    files = {str(path) for folder in folders for path in Path(folder).rglob("*") if path.is_file()}
    return Inventory(frozenset(blobs), frozenset(files), frozenset(_descendants(os.getpid())))


def _descendants(root: int) -> Iterator[tuple[int, str]]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command in parentheses may hold anything; the parent is the second field after it.
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    waiting = [root]
    while waiting:
        for child in parents.get(waiting.pop(), ()):
            waiting.append(child)
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            command = b" ".join(words).decode(errors="replace").strip()
            if command:  # one that is ending has none
                yield child, command


@contextmanager
def assert_nothing_left(
    containers: Iterable[StorageContainer] = (), folders: Iterable[str | os.PathLike[str]] = ()
) -> Iterator[None]:
    """Raise StagingError if a block leaves blobs, files or processes that were not there before."""
    containers, folders = tuple(containers), tuple(folders)
    before = take_inventory(containers, folders)
    yield
    left = take_inventory(containers, folders).left_since(before)
    if left:
        shown = "\n  ".join(left[:20]) + (f"\n  and {len(left) - 20} more" if len(left) > 20 else "")
        raise StagingError(f"Something was left behind:\n  {shown}", permanent=True)
