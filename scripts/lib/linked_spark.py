"""A Spark of links to the installed one, without the archive of sources that it puts on the path of Python.

    SPARK_HOME=$(python -m scripts.lib.linked_spark)

Every Python that Spark starts would import PySpark from that archive, and compile it again, for a second and
more; without it, they import what is installed beside it. Tests start hundreds of them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import util
from pathlib import Path

# Its archives of sources, and what Spark makes where it is installed.
_LEFT_OUT = ("python", "work", "logs")


def linked_spark(home: Path | None = None) -> Path:
    """The folder, made, or mended where it is not right any more.

    Args:
        home: where; within this Python's environment by default.
    """
    spec = util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SystemExit("error: there is no PySpark in this environment")
    installed = Path(spec.origin).parent
    home = home or Path(sys.prefix) / "spark-home"
    home.mkdir(exist_ok=True)
    wanted = {entry.name: entry for entry in installed.iterdir() if entry.name not in _LEFT_OUT}
    for link in home.iterdir():
        if link.is_symlink() and link.readlink() != wanted.get(link.name):
            link.unlink(missing_ok=True)
    for name, entry in wanted.items():
        with suppress(FileExistsError):
            (home / name).symlink_to(entry)
    return home


if __name__ == "__main__":
    print(linked_spark())
