"""The command ``spark-kusto``: ask a cluster, look after an embedded one, and see what an installation lacks.

Exit status: 0 when all went well; 1 when the answer is bad news (a damaged extent, something missing); 2 when
the command could not be carried out, with one error message on standard error.
"""

from __future__ import annotations

from spark_kusto.cli.commands import main

__all__ = ["main"]
