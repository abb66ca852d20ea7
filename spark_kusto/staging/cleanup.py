"""Clean-up for people: delete staged directories, sweep what expired, tidy up after a notebook cell.

All of them refuse to delete what this package did not stage unless told to, can be run dry, and return a
``CleanupSummary``. Every function takes its place in one of two ways: one text that carries its secret
(``https://account.blob.core.windows.net/container/directory?<SAS>``), or account, container, directory and
credential.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from spark_kusto.errors import OptionError
from spark_kusto.staging.containers import (
    DEFAULT_ENDPOINT_SUFFIX,
    SasAccess,
    StorageContainer,
    access_from,
    parse_address,
    parse_container,
)
from spark_kusto.staging.failures import guard_transport_logs
from spark_kusto.staging.removal import MARKER, CleanupSummary, Found, Refusal, expired, remove, survey
from spark_kusto.staging.signatures import open_container
from spark_kusto.staging.transfer import Channel, TransferSettings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = ["cleanup_after", "delete_directory", "list_directory", "sweep_expired"]

log = logging.getLogger("spark_kusto.staging")

NOT_OURS = "not staged by spark-kusto (anything=True, or --anything, deletes it all the same)"

Progress = Callable[[str], None] | bool


def _place(
    account: str,
    container: str | None,
    directory: str | None,
    credential: str | TokenCredential | None,
    endpoint_suffix: str | None,
) -> StorageContainer:
    if "://" in account:
        if credential is None and directory is None:
            return parse_container(account, container=container)
        if "?" in account or ";" in account:
            found = parse_container(account, container=container, credential=credential)
            return _below(found, directory)
        address = parse_address(account, container=container)
    else:
        if container is None:
            raise OptionError(
                "A clean-up needs a container.",
                remedy="Give delete_directory(account, container, directory, credential), or one SAS URL.",
            )
        suffix = (endpoint_suffix or DEFAULT_ENDPOINT_SUFFIX).strip(".").removeprefix("blob.")
        address = parse_address(f"https://{account}.blob.{suffix}", container=container)
    return _below(StorageContainer(address, access_from(credential, address)), directory)


def _below(container: StorageContainer, directory: str | None) -> StorageContainer:
    path = container.address.within((directory or "").strip("/")).rstrip("/")
    return replace(container, address=replace(container.address, directory=path))


def _open(container: StorageContainer, settings: TransferSettings) -> Channel:
    guard_transport_logs()
    sas = container.access.token if isinstance(container.access, SasAccess) else None
    client = open_container(container, settings)
    return Channel(client, container.address, settings, sas, container.access.kind)


def _prefix(container: StorageContainer) -> str:
    return f"{container.address.directory}/" if container.address.directory else ""


def _cutoff(older_than: timedelta | datetime | None) -> datetime | None:
    if older_than is None:
        return None
    if isinstance(older_than, timedelta):
        return datetime.now(timezone.utc) - older_than
    if older_than.tzinfo is None:
        raise OptionError("older_than has no time zone.", remedy="Give an aware datetime, or a timedelta.")
    return older_than


def _reporter(progress: Progress) -> Callable[[str], None] | None:
    if callable(progress):
        return progress
    if not progress:
        return None
    count = 0

    def report(name: str) -> None:
        nonlocal count
        count += 1
        print(f"\r{count} deleted, last {name[-60:]:<60}", end="", file=sys.stderr, flush=True)

    return report


def _survey_around(channel: Channel, container: StorageContainer, recursive: bool) -> list[Found]:
    """What lies in the directory, as ours also by markers further up; and the directory's own entry."""
    found = survey(channel, _prefix(container))
    path = container.address.directory
    if path and found and not all(blob.ours for blob in found):
        parts = path.split("/")
        for depth in range(len(parts), 0, -1):
            marker = "/".join((*parts[:depth], MARKER))
            if any(blob.ours and blob.name == marker for blob in survey(channel, marker)):
                found = [replace(blob, ours=True) for blob in found]
                break
    if path:
        inside_ours = bool(found) and all(blob.ours for blob in found)
        own = [blob for blob in survey(channel, path) if blob.folder and blob.name == path]
        found += [replace(blob, ours=blob.ours or inside_ours) for blob in own]
    if not recursive:
        prefix = _prefix(container)
        found = [blob for blob in found if not blob.folder and "/" not in blob.name[len(prefix) :]]
    return found


def delete_directory(
    account: str,
    container: str | None = None,
    directory: str | None = None,
    credential: str | TokenCredential | None = None,
    *,
    recursive: bool = True,
    dry_run: bool = False,
    older_than: timedelta | datetime | None = None,
    anything: bool = False,
    progress: Progress = False,
    endpoint_suffix: str | None = None,
    settings: TransferSettings | None = None,
) -> CleanupSummary:
    """Delete what was staged in a directory.

    ``delete_directory("https://account.blob.core.windows.net/container/db?<SAS>")``, or
    ``delete_directory("account", "container", "db/write-...", credential)``.

    Args:
        account: the account's name or blob endpoint; or a whole URL with its SAS.
        container: the container.
        directory: path in the container; empty or None means all of it.
        credential: account key, SAS token, or a credential of azure-identity.
        recursive: False leaves subdirectories alone.
        dry_run: delete nothing, and say what would be.
        older_than: leave what was written since (an aware datetime, or an age).
        anything: delete also what this package did not stage. Refused for a whole container.
        progress: called with each name deleted; True prints a line on standard error.
        endpoint_suffix: such as ``core.chinacloudapi.cn``; of the public cloud by default.
        settings: of requests.

    Returns:
        What was deleted and what was left, with reasons.

    Raises:
        StagingError: the container cannot be listed, or the SAS cannot delete; says which permission it
            lacks.
        OptionError: the arguments name no place.
    """
    place = _place(account, container, directory, credential, endpoint_suffix)
    if anything and not place.address.directory:
        raise OptionError(
            f"This would delete everything in container '{place.address.url}'.",
            remedy="Name a directory, or leave anything=True out to delete what this package staged.",
        )
    cutoff = _cutoff(older_than)
    with _open(place, settings or TransferSettings()) as channel:
        found = _survey_around(channel, place, recursive)
        return _delete_some(channel, place, found, cutoff, anything, dry_run, progress)


def _delete_some(
    channel: Channel,
    place: StorageContainer,
    found: list[Found],
    cutoff: datetime | None,
    anything: bool,
    dry_run: bool,
    progress: Progress,
) -> CleanupSummary:
    chosen: list[Found] = []
    refused: list[Refusal] = []
    younger: list[str] = []
    for blob in found:
        if not (blob.ours or anything):
            # Blocks never committed have no mark; they alone are no reason for a remark.
            if blob.committed:
                refused.append(Refusal(blob.name, NOT_OURS))
        elif cutoff is not None and (blob.modified is None or blob.modified >= cutoff):
            younger.append(blob.name)
        else:
            chosen.append(blob)
    chosen = _without_needed(chosen, {*younger, *(refusal.name for refusal in refused)})
    summary = remove(channel, chosen, place=str(place.address), dry_run=dry_run, progress=_reporter(progress))
    summary.refused += refused
    summary.younger += younger
    return summary


def _without_needed(chosen: list[Found], left: set[str]) -> list[Found]:
    """Leave out markers and folders of directories in which something stays."""
    if not left:
        return chosen
    result = []
    for blob in chosen:
        if blob.folder:
            needed = any(name.startswith(f"{blob.name}/") for name in left)
        elif blob.name.rpartition("/")[2] == MARKER:
            needed = any(name.startswith(blob.name[: -len(MARKER)]) for name in left)
        else:
            needed = False
        if not needed:
            result.append(blob)
    return result


def list_directory(
    account: str,
    container: str | None = None,
    directory: str | None = None,
    credential: str | TokenCredential | None = None,
    *,
    endpoint_suffix: str | None = None,
    settings: TransferSettings | None = None,
) -> list[Found]:
    """Everything in a directory, with what is known of each blob; arguments as for ``delete_directory``."""
    place = _place(account, container, directory, credential, endpoint_suffix)
    with _open(place, settings or TransferSettings()) as channel:
        return _survey_around(channel, place, recursive=True)


def sweep_expired(
    account: str,
    container: str | None = None,
    directory: str | None = None,
    credential: str | TokenCredential | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = False,
    endpoint_suffix: str | None = None,
    settings: TransferSettings | None = None,
    now: datetime | None = None,
) -> CleanupSummary:
    """Delete the staging directories whose expiry has passed: what jobs left that died.

    Beginning a transaction does the same for its database, so this is for places that nobody uses any more.

    Args:
        account, container, directory, credential, endpoint_suffix, settings: as for ``delete_directory``.
        dry_run: delete nothing, and say what would be.
        progress: called with each name deleted; True prints a line on standard error.
        now: the time to compare with, an aware datetime.

    Raises:
        StagingError: the container cannot be listed, or the SAS cannot delete.
    """
    moment = now or datetime.now(timezone.utc)
    place = _place(account, container, directory, credential, endpoint_suffix)
    with _open(place, settings or TransferSettings()) as channel:
        chosen = expired(survey(channel, _prefix(place)), moment)
        return remove(
            channel, chosen, place=str(place.address), dry_run=dry_run, progress=_reporter(progress)
        )


@contextmanager
def cleanup_after(
    account: str,
    container: str | None = None,
    directory: str | None = None,
    credential: str | TokenCredential | None = None,
    *,
    endpoint_suffix: str | None = None,
    settings: TransferSettings | None = None,
) -> Iterator[CleanupSummary]:
    """Delete, when a block of a notebook ends in any way, what was staged in a place while it ran.

    ::

        with cleanup_after("https://account.blob.core.windows.net/container?<SAS>") as summary:
            spark.read.format("kusto").options(**options).load().toPandas()
        print(summary)

    What was there before is left. What other jobs stage there meanwhile is not: give a directory, or a
    container, of the notebook's own. The summary is filled at the end.

    Args:
        account, container, directory, credential, endpoint_suffix, settings: as for ``delete_directory``.
    """
    place = _place(account, container, directory, credential, endpoint_suffix)
    chosen_settings = settings or TransferSettings()
    with _open(place, chosen_settings) as channel:
        before = {blob.name for blob in survey(channel, _prefix(place))}
    summary = CleanupSummary(str(place.address))
    try:
        yield summary
    finally:
        with _open(place, chosen_settings) as channel:
            found = [blob for blob in _survey_around(channel, place, True) if blob.name not in before]
            summary += _delete_some(channel, place, found, None, False, False, False)
        log.info("%s", summary)


def list_containers(containers: Iterable[StorageContainer]) -> Iterator[tuple[StorageContainer, Found]]:
    """Everything in some containers, below the directory of each."""
    for container in containers:
        with _open(container, TransferSettings()) as channel:
            for found in survey(channel, _prefix(container)):
                yield container, found
