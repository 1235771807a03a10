"""The key file: its template, and its name (abuse cases 43, 44, 46)."""

from __future__ import annotations

import configparser
import json
import re
import tomllib

import pytest
import yaml

from shared.key_file import (
    filename_problem,
    render_key_file,
    safe_ascii,
    template_problem,
)

KEY = "lku_000000_" + "k" * 16 + "_" + "s" * 49


@pytest.mark.parametrize("placeholder", ["%%API_KEY%%", "%%TACHI_KEY%%"])
def test_the_placeholder_is_replaced_once(placeholder: str) -> None:
    """Either placeholder becomes the key; the rest stays byte for byte."""
    name, content = render_key_file(f'{{"k": "{placeholder}"}}\r\n', "key.json", "Epic", KEY)
    assert (name, content) == ("key.json", f'{{"k": "{KEY}"}}\r\n')


def test_without_a_template_the_bare_key_is_the_content() -> None:
    """And without a name the client's makes one."""
    assert render_key_file(None, None, "Épic Games™ / 2", KEY) == ("Epic_GamesTM_2.txt", KEY)
    assert render_key_file(None, None, "数独", KEY)[0] == "key.txt"


@pytest.mark.parametrize(
    "template",
    [
        "{0.__class__.__init__.__globals__} %%API_KEY%%", "{{7*7}} %%API_KEY%%", "${x} %%API_KEY%%", "%(k)s %%API_KEY%%",
        "%s %% %d %%API_KEY%%", "{KEY:>999999999}%%API_KEY%%", "\\1 \\g<0> %%API_KEY%%", "{% include 'x' %}%%API_KEY%%",
    ],
)  # fmt: skip
def test_ac_46_no_other_template_language_is_understood(template: str) -> None:
    """What other engines would expand comes out as it went in."""
    assert template_problem(template, "notes.txt") is None
    assert render_key_file(template, None, "x", KEY)[1] == template.replace("%%API_KEY%%", KEY)


@pytest.mark.parametrize(
    "template",
    [
        "", "no placeholder", "%%API_KEY%% %%API_KEY%%", "%%API_KEY%% %%TACHI_KEY%%", "%%API_KEY%%API_KEY%%", "%%api_key%%",
        "x" * 9_990 + "%%API_KEY%%", "é" * 4_996 + "%%API_KEY%%", "\x1b[2J%%API_KEY%%",
    ],
)  # fmt: skip
def test_ac_46_templates_that_are_refused(template: str) -> None:
    """No placeholder, two of them, over 10 kB, or control characters."""
    assert template_problem(template, None) is not None


def test_the_largest_template_is_accepted() -> None:
    """10 000 bytes."""
    assert template_problem("x" * 9_989 + "%%API_KEY%%", None) is None


@pytest.mark.parametrize(
    ("filename", "good", "bad"),
    [
        ("a.json", '{"key": "%%API_KEY%%", "n": [1, {"o": "Bearer x"}]}', '{"key": "%%API_KEY%%"'),
        ("a.JSON", '"Bearer %%API_KEY%%"', '{"%%API_KEY%%": 1}'),
        ("a.toml", '[api]\nkey = "%%API_KEY%%"\n', "[api]\nkey = %%API_KEY%%\n"),
        ("a.yaml", "api:\n  key: %%API_KEY%%\n", "api: [%%API_KEY%%\n"),
        ("a.yml", 'key: "%%API_KEY%%"', "# %%API_KEY%%\na: 1"),
        ("a.ini", "[api]\nkey = %%API_KEY%%\nother = 100%\n", "key = %%API_KEY%%\n"),
    ],
)
def test_a_template_keeps_the_promise_of_its_file_name(filename: str, good: str, bad: str) -> None:
    """.json, .toml, .yaml and .ini are parsed with a key in them and must hold it in one value."""
    assert template_problem(good, filename) is None
    assert template_problem(bad, filename) is not None
    assert template_problem(bad, "key.txt") is None


@pytest.mark.parametrize(
    ("filename", "template"),
    [
        ("a.json", "[" * 4_000 + '"%%API_KEY%%"' + "]" * 4_000),
        ("a.toml", "a = " + "[" * 4_000 + '"%%API_KEY%%"' + "]" * 4_000),
        ("a.yaml", "[" * 4_000 + '"%%API_KEY%%"' + "]" * 4_000),
        (
            "a.yaml",
            "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(200)) + "k: %%API_KEY%%",
        ),
        ("a.yaml", "k: !!python/object/apply:os.system ['%%API_KEY%%']"),
        ("a.json", '{"n": ' + "9" * 5_000 + ', "k": "%%API_KEY%%"}'),
    ],
)
def test_hostile_documents_are_looked_at_without_harm(filename: str, template: str) -> None:
    """Deep nesting, aliases, tags and huge numbers neither raise nor run anything."""
    problem = template_problem(template, filename)
    assert problem is None or isinstance(problem, str)


def test_yaml_nested_deeper_than_anybody_writes_is_refused_unparsed() -> None:
    """The parser's time grows with the square of its open brackets; a hundred of them are none to speak of."""
    deepest = "[" * 100 + '"%%API_KEY%%"' + "]" * 100
    assert template_problem(deepest, "a.yaml") is None
    assert template_problem(f"[{deepest}]", "a.yaml") == "is nested too deeply for YAML"
    assert template_problem("[]," * 200 + "\nk: %%API_KEY%%", "a.yml") != "is nested too deeply for YAML"


def test_ac_44_the_file_parses_back_to_exactly_the_key() -> None:
    """In every format that is checked, a parser reads the key out again."""
    values = [
        json.loads(render_key_file('{"k": "%%API_KEY%%"}', "a.json", "x", KEY)[1])["k"],
        tomllib.loads(render_key_file('k = "%%API_KEY%%"', "a.toml", "x", KEY)[1])["k"],
        yaml.safe_load(render_key_file("k: %%API_KEY%%", "a.yaml", "x", KEY)[1])["k"],
    ]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render_key_file("[s]\nk = %%API_KEY%%", "a.ini", "x", KEY)[1])
    assert [*values, parser["s"]["k"]] == [KEY] * 4


@pytest.mark.parametrize("name", ["config.json", ".env", "Ключ 🔑.txt", "a b.ini", "x" * 80, "console.ini"])
def test_ordinary_file_names_are_accepted(name: str) -> None:
    """Any script, spaces and a leading dot."""
    assert filename_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "", "x" * 81, "../../x", "..\\x", "a/b", "a\0b", "CON", "nul.txt", "a\r\nX: 1", "a\u202etxt.exe", ".", "..", "...", " a", "a ",
        "a.", 'a"; filename="evil.html', "C:x", "a\u200b", "a|b", "a*",
    ],
)  # fmt: skip
def test_ac_43_file_names_that_are_refused(name: str) -> None:
    """Paths, controls, quotes, device names, hidden characters, nothing at all."""
    assert filename_problem(name) is not None


@pytest.mark.parametrize(
    "name", ["config.json", "Ключ 🔑.txt", 'a"; filename="evil.html', "a%b;c=d.txt", "..."]
)
def test_ac_43_a_name_that_is_made_for_a_client_is_plain_ascii(name: str) -> None:
    """Whatever the client is called."""
    assert re.fullmatch(r"[A-Za-z0-9._-]+", safe_ascii(name))
