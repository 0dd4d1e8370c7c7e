"""Reading the file: YAML, held to what a link can be, with a line for everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from storefront.errors import LinkError, StorefrontError
from storefront.linkfile.spec import NAME_KEY
from storefront.polar import LINK_KEY, check_link_fields

#: What a file may say something particular for: the names of ``POLAR_SERVER``, and ``custom`` for
#: a server that is given as a URL.
ENVIRONMENTS: Final = ("production", "sandbox", "local", "custom")

#: In place of a URL: the success page of the site that runs the command.
SITE: Final = "site"

#: Two pairs are needed for the link's name and for the client.
_MAX_METADATA_PAIRS = 48
#: What a link may be called.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TRIAL = re.compile(r"([0-9]{1,4}) (day|week|month|year)s?")
_KNOWN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_TIME_TAG = "tag:yaml.org,2002:timestamp"


class LinkFileError(StorefrontError, ValueError):
    """The file can't be used. The message starts with the file's name and the line."""

    def __init__(self, path: str, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and the line on which it stands."""

    value: Any
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A link in the file."""

    name: str
    line: int
    values: Mapping[str, Given]
    #: What differs in some environment: each key replaces the link's own.
    environments: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)
    #: Where the link should be; None: everywhere.
    only: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LinkFile:
    """A file that could be read."""

    path: str
    entries: tuple[Entry, ...]

    def error(self, line: int, message: str) -> LinkFileError:
        """The error for something that turns out to be wrong later."""
        return LinkFileError(self.path, line, message)


def read_link_file(text: str, path: str) -> LinkFile:
    """Read a file; ``path`` is its name in messages.

    :raises LinkFileError: naming the line, and what would be right.
    """
    return _Reader(path).read(text)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, text: str) -> LinkFile:
        root = self._compose(text)
        top = self._mapping(root, "the file")
        self._refuse_unknown(top, ("links",), "the file")
        if "links" not in top:
            raise LinkFileError(self._path, _line(root), "the key 'links' is missing")
        node = top["links"][1]
        if _is_null(node):
            return LinkFile(self._path, ())
        named = self._mapping(node, "'links'")
        return LinkFile(
            self._path,
            tuple(self._entry(name, key, value) for name, (key, value) in named.items()),
        )

    def _compose(self, text: str) -> yaml.Node:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = error.problem or error.context or "it can't be read"
            raise self._error(mark.line + 1 if mark else 0, f"no YAML: {problem}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._error(
                line, f"no YAML: it has a character that YAML does not allow ({error.reason})"
            ) from None
        except (yaml.YAMLError, ValueError):
            raise self._error(0, "no YAML") from None
        except RecursionError:
            raise self._error(0, "nested too deeply") from None
        if root is None:
            raise self._error(0, "empty: the key 'links' is needed, with the links below it")
        return root

    def _entry(self, name: str, key: yaml.Node, node: yaml.Node) -> Entry:
        if not NAME.fullmatch(name):
            raise self._error(
                _line(key),
                f"{name!r} can't be a name: letters, digits, '.', '_' and '-' can, up to 100",
            )
        where = f"the link {name!r}"
        items = self._mapping(node, where)
        self._refuse_unknown(items, (*_READERS, "only", "environments"), where)
        only = self._only(*items.pop("only")) if "only" in items else None
        special = items.pop("environments", None)
        values = self._values(items)
        environments: dict[str, Mapping[str, Given]] = {}
        if special is not None:
            sections = self._mapping(special[1], "'environments'")
            self._refuse_unknown(sections, ENVIRONMENTS, "'environments'", what="environment")
            for environment, (_, section) in sections.items():
                inner = self._mapping(section, f"the environment {environment!r}")
                self._refuse_unknown(inner, tuple(_READERS), f"the environment {environment!r}")
                environments[environment] = self._values(inner)
        if "products" not in values:
            raise self._error(_line(key), f"{where} lacks the key 'products'")
        return Entry(name, _line(key), values, environments, only)

    def _only(self, key: yaml.Node, node: yaml.Node) -> tuple[str, ...]:
        names = self._names("only", node)
        for name in names:
            if name not in ENVIRONMENTS:
                raise self._error(
                    _line(node),
                    f"only: there is no environment {name!r}; there are {', '.join(ENVIRONMENTS)}",
                )
        return names

    def _values(self, items: Mapping[str, tuple[yaml.Node, yaml.Node]]) -> dict[str, Given]:
        return {
            name: Given(_READERS[name](self, name, node), _line(node))
            for name, (_, node) in items.items()
        }

    # One method for each kind of value

    def products(self, name: str, node: yaml.Node) -> tuple[str, ...]:
        found = self._names(name, node)
        if not found:
            raise self._error(_line(node), "products: at least one is needed, by slug or id")
        if len(set(found)) < len(found):
            raise self._error(_line(node), "products: the same one is there twice")
        return found

    def text(self, name: str, node: yaml.Node) -> str | None:
        value = self._scalar(name, node)
        if value is not None and not isinstance(value, str):
            raise self._error(_line(node), f"{name}: {_written(node)} is no text; put it in quotes")
        return value

    def checked(self, name: str, node: yaml.Node) -> Any:
        value = self._scalar(name, node)
        if isinstance(value, (bool, int, float)) and name in _TEXTS:
            raise self._error(_line(node), f"{name}: {_written(node)} is no text; put it in quotes")
        if not (value == SITE and name == "success_url"):
            self._check(name, value, node)
        return value

    def trial(self, name: str, node: yaml.Node) -> tuple[str, int] | None:
        value = self._scalar(name, node)
        if value is None:
            return None
        found = _TRIAL.fullmatch(str(value))
        if not found:
            raise self._error(
                _line(node),
                f"trial: {_written(node)} is no duration; write 14 days, 2 weeks or 1 year",
            )
        fields = {"trial_interval": found[2], "trial_interval_count": int(found[1])}
        try:
            check_link_fields(fields, creating=False)
        except LinkError as error:
            raise self._error(_line(node), f"trial: {_words(error)}") from None
        return found[2], int(found[1])

    def metadata(self, name: str, node: yaml.Node) -> dict[str, Any]:
        if _is_null(node):
            return {}
        items = self._mapping(node, "'metadata'")
        for key, (key_node, _) in items.items():
            if key in (NAME_KEY, LINK_KEY):
                raise self._error(
                    _line(key_node), f"metadata: {key!r} is the shop's own; choose another key"
                )
        if len(items) > _MAX_METADATA_PAIRS:
            raise self._error(
                _line(node),
                f"metadata: {len(items)} pairs; {_MAX_METADATA_PAIRS} are the most in a file",
            )
        found = {}
        for key, (_, value_node) in items.items():
            value = self._scalar(f"metadata.{key}", value_node)
            self._check(name, {key: value}, value_node)
            found[key] = value
        return found

    # Nodes

    def _check(self, name: str, value: Any, node: yaml.Node) -> None:
        if value is None and name not in ("allow_discount_codes", "require_billing_address"):
            return  # cleared
        try:
            check_link_fields({name: value}, creating=False)
        except LinkError as error:
            raise self._error(_line(node), f"{name}: {_words(error)}") from None

    def _names(self, name: str, node: yaml.Node) -> tuple[str, ...]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = []
        for each in nodes:
            if not isinstance(each, yaml.ScalarNode) or _is_null(each):
                raise self._error(_line(each), f"{name}: a list of names is needed")
            found.append(each.value)
        return tuple(found)

    def _scalar(self, name: str, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(_line(node), f"{name}: one value is needed, not several")
        if node.tag == _TIME_TAG:
            return node.value  # a date is text here
        if node.tag not in _KNOWN_TAGS:
            raise self._error(_line(node), f"{name}: the tag {node.tag} means nothing here")
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except (ValueError, yaml.YAMLError):
            raise self._error(_line(node), f"{name}: {_written(node)} can't be read") from None
        finally:
            loader.dispose()

    def _mapping(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(_line(node), f"{what} has to be a mapping: lines of 'key: value'")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(_line(key), f"{what}: a key has to be text")
            if key.value in found:
                first = _line(found[key.value][0])
                raise self._error(
                    _line(key), f"{what}: {key.value!r} is there twice, first on line {first}"
                )
            found[key.value] = (key, value)
        return found

    def _refuse_unknown(
        self,
        items: Mapping[str, tuple[yaml.Node, yaml.Node]],
        known: tuple[str, ...],
        where: str,
        *,
        what: str = "key",
    ) -> None:
        for name, (key, _) in items.items():
            if name not in known:
                raise self._error(
                    _line(key), f"{where} has no {what} {name!r}; there are {', '.join(known)}"
                )

    def _error(self, line: int, message: str) -> LinkFileError:
        return LinkFileError(self._path, line, message)


_TEXTS = ("label", "success_url", "return_url")
_READERS: Final[Mapping[str, Callable[[_Reader, str, yaml.Node], Any]]] = {
    "products": _Reader.products,
    "label": _Reader.checked,
    "discount": _Reader.text,
    "allow_discount_codes": _Reader.checked,
    "require_billing_address": _Reader.checked,
    "success_url": _Reader.checked,
    "return_url": _Reader.checked,
    "trial": _Reader.trial,
    "seats": _Reader.checked,
    "units": _Reader.checked,
    "metadata": _Reader.metadata,
    "adopt": _Reader.text,
}


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _written(node: yaml.Node) -> str:
    text = str(node.value)
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _words(error: LinkError) -> str:
    return str(error).removeprefix(f"{error.field}: ")
