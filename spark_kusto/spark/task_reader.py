"""Reading planned tasks on executors as a map over rows, each of which is a task.

Spark's own reader of Python sources counts metrics row by row and copies each row one time more, which
takes as long as all the rest of a plain read. The rule's strategy (``KustoTaskReads.java``) therefore reads
as ``mapInArrow`` does, with the function here. The tasks of a read that is exported, or that a remote cluster
answers, are known when it runs: they come as the few rows of a scan of Spark's (``reader.TaskLister``).
"""

from __future__ import annotations

import os
import pickle
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.spark.shipping import shipped

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.datasource import InputPartition


def packed(partitions: Sequence[InputPartition]) -> list[bytes]:
    """The tasks of a read as the rows of the map."""
    return [pickle.dumps(partition) for partition in partitions]


class TaskReader:
    """The function of the map: pickled tasks in, their batches out."""

    def __call__(self, tasks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches of all tasks, one after the other."""
        from spark_kusto.spark.reader import read_partition

        for batch in tasks:
            for task in batch.column(0).to_pylist():
                yield from read_partition(pickle.loads(task))

    def __reduce__(self) -> Any:
        return shipped(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        acknowledge_input()


def acknowledge_input() -> None:
    """Acknowledge what this worker has received from Spark, now rather than some 40 ms later.

    Spark sends a task in two small parts and leaves the second to Nagle's algorithm, which holds it until
    the first is acknowledged; Linux delays that in the hope of an answer to send it with. What this worker
    sends is not to wait for Spark's acknowledgement either.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is None:
        return
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    for descriptor in descriptors:
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6):
                    connection.setsockopt(socket.IPPROTO_TCP, option, 1)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            continue  # closed meanwhile, or no connection
