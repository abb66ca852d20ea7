"""Finding staged blobs and removing them: what the clean-up utilities and the end of a transaction share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from spark_kusto.errors import StagingError
from spark_kusto.staging.failures import NO_CONTAINER, sas_lacks
from spark_kusto.staging.transfer import STAGED_BY, Channel

__all__ = ["EXPIRES", "MARKER", "CleanupSummary", "Found", "Refusal", "remove", "survey"]

# A blob of this name says: everything below this directory was staged by this package. Parquet readers skip
# names that begin with an underscore.
MARKER = "_spark_kusto_staging"
EXPIRES = "sparkkusto_expires"

_FOLDER = "hdi_isfolder"


@dataclass(frozen=True)
class Found:
    """A blob in a container, as a listing shows it.

    Args:
        name: its full name.
        size: bytes.
        modified: when it was last written; None for blocks never committed.
        ours: it was staged by this package.
        folder: it stands for a directory of a hierarchical namespace.
        committed: False for the blocks of an upload that never ended.
        etag: its version.
        metadata: what is written on it.
    """

    name: str
    size: int
    modified: datetime | None
    ours: bool
    folder: bool = False
    committed: bool = True
    etag: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """A blob that was left, or a place that could not be listed, and why.

    Attributes:
        name: of the blob, or what the place's names begin with.
        reason: why.
        permanent: trying again without a change is pointless.
    """

    name: str
    reason: str
    permanent: bool = True


@dataclass
class CleanupSummary:
    """What a clean-up did.

    Attributes:
        place: the container and directory, without secrets.
        dry_run: nothing was deleted; ``deleted`` is what would have been.
        deleted: names of blobs, directories included.
        bytes: their sizes, summed.
        refused: what was left because it is not this package's, or the service refused.
        unseen: places that could not be listed, so that it is not known what is left there.
        younger: names left because they are younger than ``older_than``.
    """

    place: str
    dry_run: bool = False
    deleted: list[str] = field(default_factory=list)
    bytes: int = 0
    refused: list[Refusal] = field(default_factory=list)
    unseen: list[Refusal] = field(default_factory=list)
    younger: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verb = "would delete" if self.dry_run else "deleted"
        blobs = "1 blob" if len(self.deleted) == 1 else f"{len(self.deleted):,} blobs"
        text = f"{self.place}: {verb} {blobs} ({self.bytes / 1e6:.1f} MB)"
        if self.younger:
            text += f", left {len(self.younger)} younger ones"
        if self.refused:
            reasons: dict[str, int] = {}
            for refusal in self.refused:
                reasons[refusal.reason] = reasons.get(refusal.reason, 0) + 1
            text += f", left {len(self.refused)}: " + "; ".join(
                f"{count} x {why}" for why, count in reasons.items()
            )
        if self.unseen:
            text += f", could not look into {len(self.unseen)}: " + "; ".join(
                dict.fromkeys(refusal.reason.rstrip(".") for refusal in self.unseen)
            )
        return text

    def __iadd__(self, other: CleanupSummary) -> CleanupSummary:
        self.deleted += other.deleted
        self.bytes += other.bytes
        self.refused += other.refused
        self.unseen += other.unseen
        self.younger += other.younger
        return self

    def raise_for_refused(self) -> None:
        """Raise StagingError if anything was left that should have gone, or may have been."""
        if self.refused or self.unseen:
            first = (*self.refused, *self.unseen)[0]
            raise StagingError(f"Clean-up is not complete: {self}.", remedy=f"First one left: {first.name}")

    def log_left(self, log: logging.Logger) -> None:
        """Warn of what is left, or may be."""
        if self.refused or self.unseen:
            state = "are" if self.refused else "may be"
            log.warning("Staged blobs %s left behind: %s", state, self)

    def not_listed(self, name: str, problem: StagingError) -> None:
        """Note a place that could not be listed; where there is no container, nothing is left."""
        if problem.code != NO_CONTAINER:
            self.unseen.append(Refusal(name, problem.message, problem.permanent))


def require_rights(channel: Channel, step: str, needed: str) -> None:
    """Refuse early, and by the permission's name, what a SAS does not allow."""
    lacking = sas_lacks(channel.sas, needed) if channel.sas else ""
    if lacking:
        raise StagingError(
            f"Could not {step} in container '{channel.address.url}': "
            f"the SAS lacks the permission to {lacking}.",
            remedy="Give a SAS that has it.",
            permanent=True,
        )


def survey(
    channel: Channel, prefix: str, *, recursive: bool = True, page_size: int | None = None
) -> list[Found]:
    """List blobs whose names begin with a prefix, uncommitted uploads and directory entries included.

    Args:
        channel: needs the permission to list.
        prefix: a full name's beginning; ends with a slash to mean a directory; empty for the whole container.
        recursive: False leaves out what lies deeper.
        page_size: blobs per request; None leaves it to the service (5000).

    Raises:
        StagingError: the listing failed.
    """
    step = f"list '{prefix}'" if prefix else "list"
    require_rights(channel, step, "l")
    found: list[Found] = []
    for page in _pages(channel, prefix, step, page_size, ["metadata", "uncommittedblobs"]):
        for blob in page:
            metadata = {str(k).lower(): str(v) for k, v in (blob.metadata or {}).items()}
            found.append(
                Found(
                    name=blob.name,
                    size=blob.size or 0,
                    modified=blob.last_modified,
                    ours=STAGED_BY in metadata,
                    folder=metadata.get(_FOLDER, "").lower() == "true",
                    etag=blob.etag,
                    metadata=metadata,
                )
            )
    if any(blob.size == 0 and not blob.metadata for blob in found):
        # Services differ in how they show blocks without a blob; what a plain listing leaves out is one.
        plain = {blob.name for page in _pages(channel, prefix, step, page_size, []) for blob in page}
        found = [blob if blob.name in plain else replace(blob, committed=False) for blob in found]
    found = _mark_directories(found)
    if not recursive:
        found = [blob for blob in found if "/" not in blob.name[len(prefix) :]]
    return found


def _pages(
    channel: Channel, prefix: str, step: str, page_size: int | None, include: list[str]
) -> Iterator[list[Any]]:
    """Pages of a listing, each request tried again by itself."""
    token: str | None = None
    while True:

        def one_page(start: str | None = token) -> tuple[list[Any], str | None]:
            pager = channel.client.list_blobs(
                name_starts_with=prefix or None, include=include, results_per_page=page_size
            ).by_page(start)
            try:
                items = list(next(pager))
            except StopIteration:
                return [], None
            return items, pager.continuation_token  # type: ignore[attr-defined]

        page, token = channel.run(step, "l", one_page)
        yield page
        if not token:
            return


def _mark_directories(found: list[Found]) -> list[Found]:
    """Count as ours what lies below a marker: blobs that a cluster exports there carry no mark."""
    marked = tuple(
        blob.name[: -len(MARKER)]
        for blob in found
        if blob.ours and (blob.name == MARKER or blob.name.endswith(f"/{MARKER}"))
    )
    if not marked:
        return found
    result = []
    for blob in found:
        inside = blob.ours or blob.name.startswith(marked) or (blob.folder and f"{blob.name}/" in marked)
        result.append(blob if inside == blob.ours else replace(blob, ours=inside))
    return result


def expired(found: list[Found], now: datetime) -> list[Found]:
    """What of a listing has expired: by a directory's marker, without one by what a blob says itself."""
    markers = {
        blob.name[: -len(MARKER)]: blob for blob in found if blob.ours and blob.name.endswith(f"/{MARKER}")
    }
    chosen = []
    for blob in found:
        folder = f"{blob.name}/" if blob.folder else blob.name
        above = (folder[: at + 1] for at, letter in enumerate(folder) if letter == "/")
        judge = next((markers[path] for path in above if path in markers), blob)
        if judge.ours and _expired_at(judge, now):
            chosen.append(blob)
    return chosen


def _expired_at(blob: Found, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(blob.metadata.get(EXPIRES, "").replace("Z", "+00:00")) <= now
    except ValueError:
        return False


def remove(
    channel: Channel,
    found: list[Found],
    *,
    place: str,
    dry_run: bool = False,
    progress: Callable[[str], None] | None = None,
    concurrency: int = 8,
) -> CleanupSummary:
    """Delete blobs; what the service refuses is in the summary, with its reason.

    Markers go after everything they vouch for, and directories of a hierarchical namespace last, deepest
    first.

    Raises:
        StagingError: the SAS cannot delete at all.
    """
    summary = CleanupSummary(place, dry_run)
    if not found:
        return summary
    if not dry_run:
        require_rights(channel, "delete blobs", "d")

    def one(blob: Found) -> Refusal | None:
        try:
            _delete(channel, blob)
        except StagingError as problem:
            return Refusal(blob.name, problem.message)
        return None

    folders = sorted((b for b in found if b.folder), key=lambda b: b.name.count("/"), reverse=True)
    markers = [b for b in found if not b.folder and b.name.rpartition("/")[2] == MARKER]
    last = {b.name for b in (*folders, *markers)}
    plain = [b for b in found if b.name not in last]
    with ExitStack() as stack:
        # Without threads where one is enough: an interpreter that is ending starts none.
        each: Callable[[Callable[[Found], Refusal | None], list[Found]], Iterable[Refusal | None]] = map
        if concurrency > 1:
            pool = ThreadPoolExecutor(concurrency, thread_name_prefix="staging-delete")
            each = stack.enter_context(pool).map
        for batch in (plain, markers, *([folder] for folder in folders)):
            outcomes = [None] * len(batch) if dry_run else each(one, batch)
            for blob, refusal in zip(batch, outcomes, strict=True):
                if refusal is not None:
                    summary.refused.append(refusal)
                    continue
                summary.deleted.append(blob.name)
                summary.bytes += blob.size
                if progress is not None:
                    progress(blob.name)
            if batch is plain and summary.refused:
                break  # the marker stays, and with it the right to try again
    return summary


def _delete(channel: Channel, blob: Found) -> None:
    client = channel.client.get_blob_client(blob.name)
    step = f"delete blob '{blob.name}'"

    def delete() -> None:
        try:
            if blob.folder:
                client.delete_blob()
            else:
                client.delete_blob(delete_snapshots="include")
        except Exception as problem:
            if getattr(problem, "status_code", None) != 404 or _code(problem) != "BlobNotFound":
                raise
            # Gone already: an earlier try that got no answer, or somebody else's clean-up.

    if not blob.committed:
        # Blocks without a blob cannot be deleted; an empty blob of that name discards them.
        channel.run(step, "w", lambda: client.upload_blob(b"", length=0, overwrite=True))
    channel.run(step, "d", delete)


def _code(problem: BaseException) -> str:
    code = getattr(problem, "error_code", None)
    return str(getattr(code, "value", code) or "")
