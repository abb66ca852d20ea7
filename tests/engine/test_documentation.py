"""The page of commands lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

from spark_kusto.engine.commands.table import commands

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_lists_every_command_with_what_it_needs() -> None:
    listed = dict(re.findall(r"^\| `\.([^`]+)` \| ([a-z ]+) \|", PAGE.read_text(), re.MULTILINE))
    assert listed == {row.name: row.permission for row in commands().values()}
