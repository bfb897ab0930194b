"""YAML that a person writes, read safely and with line numbers.

PyYAML's own loader takes `1e-4` for a string, `on` for a boolean and accepts a key twice. So only its parser is used: the
composed nodes are turned into plain data by the rules of YAML 1.2, and the line of every key is kept for error messages.
Anchors and aliases are refused: a few lines of them can stand for gigabytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import InputError, first_line

Path_ = tuple[str | int, ...]
MOST_BYTES = 1_000_000  # a space or a configuration is a page; a larger file is a mistake
MOST_DEPTH = 50

_INT = re.compile(r"[-+]?[0-9]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_NO_CHARACTER = re.compile(r"\\U(?!000[0-9A-Fa-f]|0010)[0-9A-Fa-f]{8}")  # an escape beyond the last one of Unicode
_BREAKS = {"\x85", "\u2028", "\u2029"}  # ends of lines that are no control characters of ASCII
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Document:
    """Plain data with the place it came from. `lines` maps the path of each key or item to its line, counted from 1."""

    data: Any
    name: str
    lines: dict[Path_, int] = field(default_factory=dict)

    def place(self, *path: str | int) -> str:
        """`file, line 7` for the nearest path that has a line."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return f"{self.name}, line {self.lines[path[:end]]}"
        return self.name


def read(file: Path, error: type[InputError]) -> Document:
    """Read one YAML file. Raises `error` with file and line for anything that is not well-formed."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise error(f"is larger than {MOST_BYTES:,} bytes; that is no file of this kind", str(file))
        text = file.read_text(encoding="utf-8")
    except OSError as problem:
        raise error(f"cannot be read: {problem.strerror or problem}", str(file)) from None
    except UnicodeDecodeError:
        raise error("is not text in UTF-8", str(file)) from None
    return parse(text, str(file), error)


def parse(text: str, name: str, error: type[InputError]) -> Document:
    """Like `read`, from a string; `name` stands for the file in messages."""
    import yaml

    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                raise error(f"is nested more than {MOST_DEPTH} levels deep", _at(name, event.start_mark))
            if isinstance(event, yaml.AliasEvent):
                raise error("aliases (*name) are not supported; write the value out", _at(name, event.start_mark))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        raise error(f"is not valid YAML: {problem.problem}", _at(name, problem.problem_mark)) from None
    except (yaml.YAMLError, RecursionError) as problem:
        raise error(f"is not valid YAML: {first_line(problem)}", name) from None
    except (ValueError, OverflowError):  # PyYAML looks at the digits of an escape, not at what they stand for
        found = _NO_CHARACTER.search(text)
        words = f"the escape {found[0]} stands for no character" if found else "an escape in it stands for no character"
        line = f", line {text.count(chr(10), 0, found.start()) + 1}" if found else ""
        raise error(f"is not valid YAML: {words}", f"{name}{line}") from None
    lines: dict[Path_, int] = {}
    data = _plain(node, (), lines, name, error) if node is not None else None
    return Document(data, name, lines)


def dumped(data: Any) -> str:
    """Plain data as YAML that `read` reads back unchanged: words that look like numbers by its rules are quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def word(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        plain = isinstance(_scalar(yaml.ScalarNode("", text)), str)
        style = '"' if _BREAKS & set(text) else None if plain else "'"  # else PyYAML reads them as a space
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, word)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def _at(name: str, mark: Any) -> str:
    return name if mark is None else f"{name}, line {mark.line + 1}"


def _plain(node: Any, path: Path_, lines: dict[Path_, int], name: str, error: type[InputError]) -> Any:
    import yaml

    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), lines, name, error) for index, item in enumerate(node.value)]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        at = _at(name, key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            raise error("a key must be a plain word", at)
        key = key_node.value
        if key in mapping:
            raise error(f"the key '{key}' stands here twice", at)
        lines[(*path, key)] = key_node.start_mark.line + 1
        mapping[key] = _plain(value_node, (*path, key), lines, name, error)
    return mapping


def _scalar(node: Any) -> Any:
    """A scalar by YAML 1.2's core schema: `on`, `off`, `yes` and `no` are words, `1e-4` is a number."""
    text: str = node.value
    if node.style in ("'", '"', "|", ">"):
        return text
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INT.match(text) and len(text) < 20:
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
