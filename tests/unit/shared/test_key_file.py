"""The key file: its template, and its name (abuse cases 43, 44, 46)."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable

import pytest
import yaml

from shared.key_file import (
    filename_problem,
    render_key_file,
    safe_ascii,
    template_problem,
)
from shared.key_file_formats import LONGEST_LINE, MOST_BRACKETS, MOST_DOTS, MOST_LINES
from tests.harness.growth import grows_too_fast

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


HOLDING = {
    "json": '{"k": "%%API_KEY%%", "x": {} }',
    "toml": 'k = "%%API_KEY%%"\n{}\n',
    "yaml": "k: %%API_KEY%%\n{}\n",
    "ini": "[s]\nk = %%API_KEY%%\n{}\n",
}
"""A file of each format that holds the key, with a place for more."""


def file_of(suffix: str, more: str) -> str:
    """A template of this format with ``more`` in it."""
    return HOLDING[suffix].replace("{}", more)


@pytest.mark.parametrize(
    ("suffix", "shape", "largest"),
    [
        ("ini", lambda n: "z" + " " * n + "y", 9_900),
        ("ini", lambda n: "z" + " " * n + "y", 900),
        ("ini", lambda n: ("z" + " " * 900 + "y\n") * (n // 902), 9_900),
        ("ini", lambda n: "z" + " \N{IDEOGRAPHIC SPACE}" * (n // 4) + "=y", 3_000),
        ("ini", lambda n: "".join(f"z{i}=1\n" for i in range(n)), 990),
        ("toml", lambda n: "a." * (n // 2) + "a = 1", 9_900),
        ("toml", lambda n: "[" + "a." * (n // 2) + "a]", 9_900),
        ("toml", lambda n: "x = {" + "a." * (n // 2) + "a = 1}", 9_900),
        ("toml", lambda n: "".join(f"b{i}." + "a." * 45 + "a = 1\n" for i in range(n // 100)), 9_900),
        ("toml", lambda n: "x = [\n" + '"",\n' * (n // 4) + "]", 3_900),
        ("toml", lambda n: "x = " + "[" * 90 + '"",\n' * (n // 4) + "]" * 90, 3_600),
        ("json", lambda n: "[" * (n // 10) + '"",' * (n // 4) + '""' + "]" * (n // 10), 9_900),
        ("json", lambda n: "[" * 90 + '"",' * (n // 4) + '""' + "]" * 90, 9_900),
        ("yaml", lambda n: "? " * (n // 2) + "a", 9_900),
        ("yaml", lambda n: "x: " + "[" * (n // 2) + "]" * (n // 2), 9_900),
        ("yaml", lambda n: ("- " * 400 + "a\n") * (n // 802), 9_900),
        ("yaml", lambda n: "".join(" " * i + "a:\n" for i in range(int((2 * n) ** 0.5) - 5)), 9_900),
    ],
)
def test_a_template_is_judged_in_time_that_grows_with_its_size(
    suffix: str, shape: Callable[[int], str], largest: int
) -> None:
    """None of the parsers is linear in everything; what they are given is so bounded that they are."""
    assert (
        grows_too_fast(
            lambda size: file_of(suffix, shape(size)),
            lambda template: template_problem(template, f"a.{suffix}"),
            largest,
        )
        is None
    )


@pytest.mark.parametrize("suffix", ["toml", "yaml", "ini"])
def test_a_file_that_is_read_has_so_many_lines_and_no_more(suffix: str) -> None:
    """The refusal says how many; a file of no format that we read may have as many as it likes."""
    own = file_of(suffix, "").count("\n")
    assert template_problem(file_of(suffix, "\n" * (MOST_LINES - own - 1)), f"a.{suffix}") is None
    long = file_of(suffix, "\n" * MOST_LINES)
    refusal = template_problem(long, f"a.{suffix}")
    assert refusal is not None
    assert refusal.startswith(f"must have at most {MOST_LINES} lines")
    assert template_problem(long, "a.txt") is None


def test_a_json_file_may_have_a_thousand_lines() -> None:
    """White space between its tokens, as printers write it."""
    lines = '{"k": "%%API_KEY%%", "x": [' + "1,\n" * (MOST_LINES - 1) + "1]}"
    assert template_problem(lines, "a.json") is None
    assert (
        template_problem(f"{lines}\n\n", "a.json")
        == f"must have at most {MOST_LINES} lines to be checked as JSON"
    )


@pytest.mark.parametrize(
    ("suffix", "line"),
    [("toml", "x = '{}'"), ("yaml", "x: '{}'"), ("ini", "x = {}")],
)
def test_its_lines_have_so_many_characters_and_no_more(suffix: str, line: str) -> None:
    """But for JSON, which programs write on one line."""
    room = LONGEST_LINE - len(line) + 2
    assert template_problem(file_of(suffix, line.format("a" * room)), f"a.{suffix}") is None
    refusal = template_problem(file_of(suffix, line.format("a" * (room + 1))), f"a.{suffix}")
    assert refusal == (
        f"must have at most {MOST_LINES} lines of at most {LONGEST_LINE} characters to be checked as {suffix.upper()}"
    )
    assert template_problem('{"k": "%%API_KEY%%", "x": "' + "a" * 9_000 + '"}', "a.json") is None


@pytest.mark.parametrize("suffix", ["json", "toml", "yaml"])
def test_a_file_nested_deeper_than_anybody_writes_is_refused_unread(suffix: str) -> None:
    """A hundred open brackets are read, one more is not; none that are closed again count."""
    nested = "[" * (MOST_BRACKETS - 1) + "]" * (MOST_BRACKETS - 1)
    value = {"json": f'{{"k": "%%API_KEY%%", "x": {nested}}}', "toml": file_of("toml", f"x = [{nested}]")}
    deepest = value.get(suffix, file_of("yaml", f"x: [{nested}]"))
    assert template_problem(deepest, f"a.{suffix}") is None
    refusal = template_problem(deepest.replace("[]", "[[]]"), f"a.{suffix}")
    assert refusal == f"is nested too deeply for {suffix.upper()}"
    assert template_problem("[]," * 200 + "\nk: %%API_KEY%%", "a.yml") != "is nested too deeply for YML"


@pytest.mark.parametrize("around", ["{} = 1", "[{}]", "[[{}]]", "x = {{ {} = 1 }}"])
def test_a_dotted_name_of_toml_has_so_many_tables_and_no_more(around: str) -> None:
    """Each dot opens one, and its parser walks through all of them for each."""
    assert template_problem(file_of("toml", around.format("a." * MOST_DOTS + "a")), "a.toml") is None
    refusal = template_problem(file_of("toml", around.format("a." * MOST_DOTS + "a.a")), "a.toml")
    assert refusal == "is nested too deeply for TOML"


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
