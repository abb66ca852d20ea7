"""On the PYTHONPATH of a job under test: its Pythons stop where they are told to, or find the disk full.

KUSTO_STOP=commit.done:2:/tmp/flag    stop for good when the point is passed for the second time in a process
KUSTO_FULL=/some/folder:100000        a file below the folder takes no more than so many bytes
"""

import errno
import os
import time


def _stop_at(point: str, count: int, flag: str) -> None:
    from spark_kusto.storage import files

    left = count

    def observe(passed: str) -> None:
        nonlocal left
        if passed != point:
            return
        left -= 1
        if left == 0:
            with open(flag, "x"):
                pass
            time.sleep(600)

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


if "KUSTO_STOP" in os.environ:
    _point, _count, _flag = os.environ["KUSTO_STOP"].split(":")
    _stop_at(_point, int(_count), _flag)
if "KUSTO_FULL" in os.environ:
    _folder, _, _room = os.environ["KUSTO_FULL"].partition(":")
    _fill(_folder, int(_room))
