"""Browser, operating system and device behind a User-Agent header.

Kusto's answers are those of the community's uap-core patterns, which the library ``ua-parser``
(extra ``useragent``) brings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from spark_kusto.kql.algorithms.extras import require


@lru_cache(maxsize=1)
def _parser() -> Any:
    return require("ua_parser", "useragent", "parse_user_agent()")


@lru_cache(maxsize=1 << 14)
def _parsed(text: str) -> Any:
    return _parser().parse(text)


def parse_user_agent(text: str, look_for: object = ("browser", "os", "device")) -> dict[str, object] | None:
    """The parts asked for: ``look_for`` is ``browser``, ``os``, ``device`` or an array of these."""
    wanted = [look_for] if isinstance(look_for, str) else look_for
    if not text or not isinstance(wanted, list | tuple):
        return None
    names = {item.lower() for item in wanted if isinstance(item, str)}
    found = _parsed(text)
    answer: dict[str, object] = {}
    if "browser" in names:
        agent = found.user_agent
        answer["Browser"] = {
            "Family": agent.family if agent else "Other",
            "MajorVersion": (agent and agent.major) or "",
            "MinorVersion": (agent and agent.minor) or "",
            "Patch": (agent and agent.patch) or "",
        }
    if "os" in names:
        system = found.os
        answer["OperatingSystem"] = {
            "Family": system.family if system else "Other",
            "MajorVersion": (system and system.major) or "",
            "MinorVersion": (system and system.minor) or "",
            "Patch": (system and system.patch) or "",
            "PatchMinor": (system and system.patch_minor) or "",
        }
    if "device" in names:
        device = found.device
        answer["Device"] = {
            "Family": device.family if device else "Other",
            "Brand": (device and device.brand) or "",
            "Model": (device and device.model) or "",
        }
    return answer
