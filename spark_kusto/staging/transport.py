"""The HTTP transport under Azure's client. Imports azure-core: reach it through ``require`` alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azure.core.pipeline.transport import RequestsTransport

__all__ = ["LeanTransport"]


class _Body:
    """A streamed answer without a length.

    azure-storage-blob collects an answer's pieces with ``list(...)``, and azure-core's iterator gives the
    number of bytes as its length: Python then makes room for that many pieces, eight times the block's size.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece: bytes = next(self._inner)
        return piece


class LeanTransport(RequestsTransport):  # type: ignore[misc, unused-ignore]
    """Azure's own transport, with bodies that are collected in little memory."""

    def send(self, request: Any, **arguments: Any) -> Any:
        """Send a request; as in the base class."""
        response = super().send(request, **arguments)
        if request.method != "GET":
            return response
        stream_download = response.stream_download

        def lean_download(pipeline: Any, **settings: Any) -> _Body:
            # Otherwise a circle of references keeps the answer in memory.
            for name in ("stream_download", "_stream_download"):
                vars(response).pop(name, None)
            return _Body(stream_download(pipeline, **settings))

        response.stream_download = lean_download
        return response
