"""The pinned requirements: complete, within the ranges of pyproject.toml, and free of any index's address."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
OF_SPARK = {"spark-4.3": PYTHONS[1:]}


def environment(python: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }


def applies(requirement: Requirement, python: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment(python))


def pins(file: Path, python: str) -> dict[str, Version]:
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if re.match(r"[a-z0-9]", line):
            requirement = Requirement(line.rstrip("\\ "))
            if applies(requirement, python):
                assert canonicalize_name(requirement.name) not in found, (
                    f"{requirement.name} twice on {python}"
                )
                (specifier,) = requirement.specifier
                found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def declared(*extras: str) -> list[Requirement]:
    """Requirements of pyproject.toml, whose TOML Python 3.10 can't read: the lists are simple enough."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = text.partition("[project]")[2].partition("[project.scripts]")[0]
    lists = {
        name: re.findall(r'"((?:[^"])+)"', body)
        for name, body in re.findall(r"^(\w+) = \[((?:[^\[\]]|\[[^\[\]]*\])*)\]", project, re.MULTILINE)
    }
    wanted = [Requirement(text) for text in lists["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, lists[extra]):
            wanted += declared(*requirement.extras) if requirement.name == "spark-kusto" else [requirement]
    return wanted


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_pin_has_hashes_and_no_address(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    names = re.findall(r"^[a-z0-9].*$", text, re.MULTILINE)
    assert names
    assert all(line.endswith("\\") for line in names)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("core", ()),
        ("quickstart", ("spark", "examples")),
        ("dev", ("dev",)),
        *((f"spark-4.{minor}", ("spark", "all", "test")) for minor in range(4)),
    ],
)
def test_pins_satisfy_what_is_declared(name: str, extras: tuple[str, ...], python: str) -> None:
    if python not in OF_SPARK.get(name, PYTHONS):
        return
    pinned = pins(ROOT / "requirements" / f"{name}.txt", python)
    for requirement in declared(*extras):
        if not applies(requirement, python):
            continue
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned on {python}"
        assert requirement.specifier.contains(version), f"{requirement.name} {version} is outside its range"


def test_azurite_is_locked_with_hashes_and_without_addresses() -> None:
    lock = json.loads((ROOT / "requirements/azurite/package-lock.json").read_text(encoding="utf-8"))
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages)
