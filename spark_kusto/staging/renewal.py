"""Keeping executors' grants alive while a long job runs.

SAS handed to executors end soon. While the driver works on a transaction, a thread there writes fresh ones,
encrypted, into a ticket blob of the directory; a grant that nears its end reads it. When the driver is done,
or dead, nothing is renewed any more, and what executors hold ends within one SAS lifetime.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from spark_kusto.errors import StagingError
from spark_kusto.staging.azure_extra import require
from spark_kusto.staging.grants import Ticket
from spark_kusto.staging.signatures import Signature, Signer
from spark_kusto.staging.transfer import Channel

__all__ = ["Renewal"]

log = logging.getLogger("spark_kusto.staging")

# Reading a ticket is allowed this long; what it says ends much sooner.
_TICKET_LIFETIME = timedelta(days=6)


@dataclass
class _Office:
    """One container's ticket: what it must hold, and how to write it."""

    signer: Signer
    ticket: Ticket
    entries: dict[str, Callable[[], Signature]] = field(default_factory=dict)


class Renewal:
    """Renews the grants of one staging directory until it is stopped.

    Args:
        directory: the staging directory's name.
        lifetime: of the SAS it makes.
        open_channel: opens a connection to a container, with the driver's rights.
        extend: called at each renewal, to push the directory's own expiry on.
    """

    def __init__(
        self,
        directory: str,
        lifetime: timedelta,
        open_channel: Callable[[Signer], Channel],
        extend: Callable[[], None],
    ) -> None:
        self.lifetime = lifetime
        self._directory = directory
        self._open_channel = open_channel
        self._extend = extend
        self._offices: dict[str, _Office] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"staging-renewal {directory}", daemon=True)
        self._thread.start()

    def ticket(self, signer: Signer, entries: dict[str, Callable[[], Signature]]) -> Ticket:
        """Have SAS renewed from now on, and say where to fetch them.

        Args:
            signer: of the container.
            entries: by name, what makes the SAS.
        """
        url = signer.container.address.url
        with self._lock:
            office = self._offices.get(url)
            if office is None:
                key = require("cryptography.fernet", "renew a SAS").Fernet.generate_key()
                name = signer.container.address.within(f"{self._directory}/_grants-{uuid.uuid4().hex}")
                office = _Office(signer, Ticket(name, signer.blob(name, "r", _TICKET_LIFETIME), key))
                self._offices[url] = office
            office.entries.update(entries)
            self._write(office)
            return office.ticket

    def stop(self) -> None:
        """Renew no more; grants end with what they hold."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=60)

    def _work(self) -> None:
        while not self._stopped.wait(self.lifetime.total_seconds() / 3):
            try:
                self._extend()
                with self._lock:
                    for office in self._offices.values():
                        self._write(office)
            except StagingError as problem:
                log.warning("Grants of staging directory '%s' were not renewed: %s", self._directory, problem)

    def _write(self, office: _Office) -> None:
        signed = {name: make() for name, make in office.entries.items()}
        content = {
            name: [s.token, s.expires.isoformat() if s.expires else None] for name, s in signed.items()
        }
        fernet = require("cryptography.fernet", "renew a SAS")
        sealed: bytes = fernet.Fernet(office.ticket.key).encrypt(json.dumps(content).encode())
        with self._open_channel(office.signer) as channel:
            channel.put_small(office.ticket.name, sealed, {}, overwrite=True)
