"""Throughput of staging against azure-storage-blob alone, on Azurite, in one run.

    python -m scripts.bench.staging [--megabytes 512] [--rounds 5]

The contestants take turns; ratios are of medians. Both carry the same file from and to local disk with four
requests at once. Staging also computes and checks a SHA-256 of every byte, which the baseline does not.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from datetime import timedelta
from pathlib import Path

from scripts.bench.measure import Table, alternating, median
from spark_kusto.staging import TransientStorage, parse_container
from tests.staging.azurite import ACCOUNT, KEY, Azurite

# The share of the baseline's throughput that staging must reach.
LEAST = 0.6


def transfers(table: Table, azurite: Azurite, megabytes: int, rounds: int, folder: Path) -> None:
    """Upload and download of one file, by staging's grants and by azure-storage-blob alone."""
    container = azurite.new_container()
    source = folder / "source.bin"
    with source.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1024 * 1024))
    storage = TransientStorage([parse_container(container.key_url)], expiry=timedelta(hours=1))
    plain = container.azurite.service().get_blob_client(container.name, "plain")
    with storage.begin("bench", "transfers") as directory:
        grant = directory.upload_grant()

        def upload_plain() -> None:
            with source.open("rb") as stream:
                plain.upload_blob(stream, overwrite=True, max_concurrency=4)

        def download_plain() -> None:
            with (folder / "plain.bin").open("wb") as stream:
                plain.download_blob(max_concurrency=4).readinto(stream)

        taken = alternating(
            {"plain": upload_plain, "staging": lambda: grant.upload_file(source)}, rounds, warm_up=1
        )
        up, up_plain = (megabytes / median(taken[name]) for name in ("staging", "plain"))
        blobs = directory.list()
        download = directory.download_grant(blobs[0])
        taken = alternating(
            {"plain": download_plain, "staging": lambda: download.download(folder / "staging.bin")}, rounds
        )
        down, down_plain = (megabytes / median(taken[name]) for name in ("staging", "plain"))
        assert (folder / "staging.bin").read_bytes() == source.read_bytes()
    table.heading(f"One file of {megabytes} MB, four requests at once, account {ACCOUNT}")
    table.value("upload, azure-storage-blob alone", up_plain, "MB/s")
    table.value("upload, staging", up, "MB/s", least=LEAST * up_plain)
    table.value("upload, staging in % of it", 100 * up / up_plain, "%", least=100 * LEAST)
    table.value("download, azure-storage-blob alone", down_plain, "MB/s")
    table.value("download, staging", down, "MB/s", least=LEAST * down_plain)
    table.value("download, staging in % of it", 100 * down / down_plain, "%", least=100 * LEAST)
    assert KEY not in repr(storage)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="staging-bench-") as folder, Azurite(on_disk=True) as azurite:
        transfers(table, azurite, options.megabytes, options.rounds, Path(folder))
    return table.end()


if __name__ == "__main__":
    raise SystemExit(main())
