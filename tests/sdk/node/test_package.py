"""The Node package by itself: what is in it, its own tests, its types, and that it knows a key as we make them."""

from __future__ import annotations

import json
import random
import tarfile
from pathlib import Path

import pytest

from shared.api_key import SERVICE_KEY, USER_KEY, mint_key, parse_key
from tests.sdk.node.conftest import PACKAGE, run

URL = "https://latchkey.example"
READ_KEYS = """
import { readFileSync } from "node:fs";
import { keyIdOf } from "./src/api-key.js";
const texts = JSON.parse(readFileSync(process.argv[1], "utf8"));
console.log(JSON.stringify(texts.map((text) => [keyIdOf(text, "u"), keyIdOf(text, "s")])));
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_own_tests_pass(node: str) -> None:
    """As its own developers run them."""
    told = run(node, "--test", "--test-reporter=spec", folder=PACKAGE)  # its last lines say what failed
    assert "fail 0" in told


def test_it_holds_what_it_needs_and_no_more(packed: Path) -> None:
    """Neither tests nor anything of the repository."""
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    sources = {f"src/{path.name}" for path in (PACKAGE / "src").iterdir()}
    assert names == {"package.json", "README.md", "LICENSE", "index.d.ts", *sources}


def test_its_version_is_ours() -> None:
    """It is released with the services."""
    manifest = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    project = (PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{manifest["version"]}"' in project


def test_it_tells_keys_from_others_as_key_issuer_does(node: str, tmp_path: Path) -> None:
    """Keys of every kind and prefix, and the same with a character changed, left out or doubled."""
    draw = random.Random(16)
    keys = [mint_key(prefix, kind, URL).token for prefix in ("lk", "abc", "wxyz") for kind in "us" * 20]
    texts = [*keys, "", "x", "ü" * 74]
    for key in keys:
        place = draw.randrange(len(key))
        other = draw.choice("aZ09_-. \n\u0661\u212a")
        texts += [
            key[:place] + other + key[place + 1 :],
            key[:place] + key[place + 1 :],
            key[: place + 1] + key[place:],
        ]
        texts += [f"{key}\n", f" {key}", key.swapcase()]
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(texts), encoding="utf-8")

    found = json.loads(run(node, "--input-type=module", "-e", READ_KEYS, file, folder=PACKAGE))

    parsed = [parse_key(text) for text in texts]
    assert found == [
        [key.key_id if key is not None and key.kind == kind else None for kind in (USER_KEY, SERVICE_KEY)]
        for key in parsed
    ]
    assert sum(key is not None for key in parsed) >= len(keys)


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("module", ["nodenext", "esnext"])
def test_its_types_are_what_they_say(node: str, installed: Path, module: str) -> None:
    """TypeScript's strictest reading of a program that uses all of it; what is wrong in it is found, too."""
    resolution = "nodenext" if module == "nodenext" else "bundler"
    options = (
        "--noEmit",
        "--strict",
        "--exactOptionalPropertyTypes",
        "--target",
        "es2022",
        "--lib",
        "es2023,dom",
    )
    compiler = installed.parent / "node_modules" / "typescript" / "bin" / "tsc"
    types = ("--types", "node,express", "--module", module, "--moduleResolution", resolution)
    run(node, compiler, *options, *types, "--esModuleInterop", "--skipLibCheck", "types.ts", folder=installed)
