"""On the PYTHONPATH of a job under test: its Pythons die where they are told to, or find the disk full.

KUSTO_DIE=/tmp/order               as long as that file is there and names a point, who passes it dies there
KUSTO_FULL=/some/folder:100000     a file below the folder takes no more than so many bytes
"""

import errno
import os
import signal


def _die_at(order: str) -> None:
    from spark_kusto.storage import files

    def observe(passed: str) -> None:
        try:
            with open(order) as file:
                if file.read() != passed:
                    return
            # Whoever takes the order away carries it out, and nobody else does.
            os.unlink(order)
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    files.observer = observe


def _fill(folder: str, room: int) -> None:
    import pyarrow

    real = pyarrow.OSFile

    class Full:
        """A file on a disk that is full soon."""

        closed = False

        def __init__(self, path: str) -> None:
            self._file = open(path, "wb")  # noqa: SIM115
            self._left = room

        def write(self, data: bytes) -> int:
            self._left -= len(data)
            if self._left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(data)

        def tell(self) -> int:
            return self._file.tell()

        def flush(self) -> None:
            self._file.flush()

        def close(self) -> None:
            self.closed = True
            self._file.close()

    def opened(path: str, mode: str = "r", *rest: object) -> object:
        if mode == "wb" and str(path).startswith(folder):
            return pyarrow.PythonFile(Full(path), mode="w")
        return real(path, mode, *rest)

    pyarrow.OSFile = opened


if "KUSTO_DIE" in os.environ:
    _die_at(os.environ["KUSTO_DIE"])
if "KUSTO_FULL" in os.environ:
    _folder, _, _room = os.environ["KUSTO_FULL"].partition(":")
    _fill(_folder, int(_room))
