"""From bound plans to SQL text and stages. Nothing is decided here: plans say it all."""

from __future__ import annotations
