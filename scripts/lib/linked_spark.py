"""A Spark of links to the installed one, without the archive of sources that it puts on the path of Python.

    SPARK_HOME=$(python -m scripts.lib.linked_spark)

Every Python that Spark starts would import PySpark from that archive, and compile it again, for a second and
more; without it, they import what is installed beside it. Tests start hundreds of them.
"""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

# Its archives of sources are all that this folder is for.
_LEFT_OUT = "python"


def linked_spark() -> Path:
    """The folder, within this Python's environment; made anew, or left as it is where it is right."""
    spec = util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SystemExit("error: there is no PySpark in this environment")
    installed = Path(spec.origin).parent
    home = Path(sys.prefix) / "spark-home"
    home.mkdir(exist_ok=True)
    wanted = {entry.name: entry for entry in installed.iterdir() if entry.name != _LEFT_OUT}
    for link in home.iterdir():
        if link.name not in wanted or not link.is_symlink() or link.readlink() != wanted[link.name]:
            link.unlink()
    for name, entry in wanted.items():
        if not (home / name).is_symlink():
            (home / name).symlink_to(entry)
    return home


if __name__ == "__main__":
    print(linked_spark())
