"""What ``parse-kv`` does to one text."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from spark_kusto.kql.algorithms import regex
from spark_kusto.kql.registry import DYNAMIC, STRING, python_scalar


@lru_cache(maxsize=64)
def _options(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def _quotes(option: Any) -> list[tuple[str, str]]:
    if not option:
        return []
    if isinstance(option, list):
        pairs = [str(item) for item in option]
    else:
        pairs = [str(option)]
    return [(pair[0], pair[-1]) for pair in pairs if pair]


class _Scanner:
    """Reads keys and values one after another."""

    def __init__(self, text: str, options: dict[str, Any]) -> None:
        self.text = text
        self.place = 0
        self.pair = str(options.get("pair_delimiter") or " ")
        self.between = str(options.get("kv_delimiter") or "=")
        self.quotes = _quotes(options.get("quote"))
        self.escape = str(options.get("escape") or "")
        self.greedy = bool(options.get("greedy"))

    def pairs(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self.place < len(self.text):
            key = self._key()
            if key is None:
                break
            value = self._value()
            found.setdefault(key.strip(), value)
        return found

    def _key(self) -> str | None:
        for opening, closing in self.quotes:
            if self.text.startswith(opening, self.place):
                end = self.text.find(closing + self.between, self.place + 1)
                if end > 0:
                    key = self.text[self.place + 1 : end]
                    self.place = end + 1 + len(self.between)
                    return key
        end = self.text.find(self.between, self.place)
        if end < 0:
            return None
        key = self.text[self.place : end]
        # What stands before the last pair delimiter belongs to no pair.
        if self.pair in key:
            key = key[key.rindex(self.pair) + len(self.pair) :]
        key = self._unquoted(key.strip())
        self.place = end + len(self.between)
        return key

    def _unquoted(self, key: str) -> str:
        for opening, closing in self.quotes:
            if len(key) > 1 and key[0] == opening and key[-1] == closing:
                return key[1:-1]
        return key

    def _value(self) -> str:
        for opening, closing in self.quotes:
            if self.text.startswith(opening, self.place):
                return self.quoted(closing)
        if self.greedy:
            following = self.text.find(self.between, self.place)
            if following < 0:
                end = len(self.text)
            else:
                before = self.text.rfind(self.pair, self.place, following)
                end = before if before >= 0 else following
        else:
            end = self.text.find(self.pair, self.place)
            end = len(self.text) if end < 0 else end
        value = self.text[self.place : end]
        self.place = end + len(self.pair)
        return value

    def quoted(self, closing: str) -> str:
        self.place += 1
        parts = []
        while self.place < len(self.text):
            char = self.text[self.place]
            if self.escape and char == self.escape and self.place + 1 < len(self.text):
                parts.append(self.text[self.place + 1])
                self.place += 2
                continue
            self.place += 1
            if char == closing:
                break
            parts.append(char)
        if self.text.startswith(self.pair, self.place):
            self.place += len(self.pair)
        return "".join(parts)


def _any_delimiter(text: str, options: dict[str, Any]) -> dict[str, str]:
    """Without delimiters given, whatever is no letter, digit or underscore parts keys and values."""
    scanner = _Scanner(text, options)
    found: dict[str, str] = {}
    for key in options["keys"]:
        for match in re.finditer(rf"(?<!\w){re.escape(key)}(?!\w)[^\w'\"]*", text):
            scanner.place = match.end()
            for opening, closing in scanner.quotes:
                if text.startswith(opening, scanner.place):
                    found[key] = scanner.quoted(closing)
                    break
            else:
                value = re.compile(r"[\w.+-]*").match(text, match.end())
                found[key] = "" if value is None else value.group()
            break
    return found


def _parse_kv(text: str, settings: str) -> dict[str, str]:
    options = _options(settings)
    if options.get("regex"):
        found: dict[str, str] = {}
        for match in regex.compiled(str(options["regex"])).finditer(text):
            if match.re.groups >= 2:
                found.setdefault(match.group(1), match.group(2) or "")
    elif not options.get("pair_delimiter") and not options.get("kv_delimiter"):
        found = _any_delimiter(text, options)
    else:
        found = _Scanner(text, options).pairs()
    return {key: found[key] for key in options["keys"] if key in found}


python_scalar("$parse_kv", [STRING, STRING], DYNAMIC, _parse_kv)
