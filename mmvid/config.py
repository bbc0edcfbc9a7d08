"""Options of a command: stated once, checked when made, frozen.

One line of an `Options` model states a hyperparameter. Its flag, its help, its check, its default and its search
range all come from that line; `tests/test_mlproject.py` holds MLproject to it.

    class Config(Options):
        experts: int = option(2, "experts for each class", ge=1, search=(1, 16))
"""

import argparse
import difflib
import sys
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


class Options(BaseModel):
    """A frozen set of options; unknown names, NaN and infinities are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, populate_by_name=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_words(cls, value: Any, info) -> Any:
        """Reads the text of a command line: `a,b` for a tuple, the empty word for None."""
        if not isinstance(value, str):
            return value
        kind = cls.model_fields[info.field_name].annotation
        if value == "" and type(None) in typing.get_args(kind):
            return None
        if any(typing.get_origin(part) is tuple for part in (kind, *typing.get_args(kind))):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value


def option(
    default: Any,
    about: str,
    *,
    search: tuple | None = None,
    log: bool = False,
    decides: bool = True,
    **checks: Any,
) -> Any:
    """States one option of an `Options` model.

    Args:
        default: its value when nothing is said; `...` makes it required.
        about: one line for `--help`.
        search: the range or the choices that a search draws from; none keeps the option fixed.
        log: whether the range is drawn on a logarithmic scale.
        decides: False for an option that changes no result (such as `force`): it stays out of the run's key.
        checks: pydantic's constraints: `ge`, `gt`, `le`, `lt`, `min_length` and so on.
    """
    extra = {"search": list(search) if search else None, "log": log, "decides": decides}
    return Field(default, description=about, json_schema_extra=extra, **checks)


def deciding(options: Options) -> dict[str, Any]:
    """The options that decide a result, as plain JSON values: what a run's key is made of."""
    kept = options.model_dump(mode="json", by_alias=True)
    return {name: kept[name] for name, field in flags(type(options)).items() if _extra(field)["decides"]}


class Preset(Options):
    """Options whose values are a preset's where none are given, such as a paper's sizes.

    A subclass states `preset`, a Literal of the names, and `presets`, the options of each; an option that a preset
    decides has the default None (in MLproject the empty word). The values are filled in when the options are made, so
    that a model, a run's key and a package have the numbers and never the None.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        chosen = values.get("preset", cls.model_fields["preset"].default)
        given = {name: value for name, value in values.items() if value not in (None, "")}
        return {**cls.presets.get(chosen, {}), **given}


def with_defaults(kind: type[Options], defaults: dict[str, Any]) -> type[Options]:
    """The same options with other defaults, such as those that a classifier is best trained with.

    Raises:
        ValueError: if there is no such option.
    """
    if not defaults:
        return kind
    for name in defaults:
        if name not in kind.model_fields:
            raise ValueError(f"{kind.__name__} has no option {name!r} to give a default for")
    fields = {
        name: (Annotated[kind.model_fields[name].annotation, kind.model_fields[name]], defaults[name])
        for name in defaults
    }
    return create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **fields)


class Catalogue(Protocol):
    """A folder whose files are its members, such as `mmvid.classifiers`."""

    def names(self) -> list[str]: ...
    def load(self, name: str) -> types.ModuleType: ...


Chosen = Callable[[types.ModuleType], type[Options] | None]  # which options there are depends on the member


def parse(argv: list[str], *parts: type[Options] | Catalogue | Chosen, about: str) -> tuple:
    """Reads a command line into checked configs.

    Args:
        argv: the words after the program's name.
        parts: `Options` classes; or a catalogue: then the next word names a member, whose `Config` is read; or, after
            it, a function that is given the member and says which options come with it, if any.
        about: the command's docstring, shown by `--help`.

    Returns:
        One value a part, in order; two for a catalogue: the member's name and its config; None for no options.

    Exits with status 2 and one sentence on standard error when a word is unknown or a value is out of range,
    with 0 after `--help`.
    """
    parser = _Parser(_program(), about)
    words = list(argv)
    result: list[Any] = []  # names, classes to be filled, None
    member = None
    for part in parts:
        if isinstance(part, type) and issubclass(part, Options):
            result.append(part)
        elif callable(part):
            result.append(part(member))
        else:
            name = parser.member(words, part)
            member = part.load(name)
            result += [name, member.Config]
    parser.declare([kind for kind in result if isinstance(kind, type)])
    values = parser.read(words)

    def filled(kind: Any) -> Any:
        if not isinstance(kind, type):
            return kind
        return parser.build(kind, {flag: values[flag] for flag in flags(kind) if flag in values})

    return tuple(map(filled, result))


def explain(error: ValidationError) -> str:
    """The first fault of a pydantic error as one sentence: name, need, got."""
    fault = error.errors()[0]
    name = ".".join(str(step) for step in fault["loc"])
    context = fault.get("ctx", {})
    need = {
        "greater_than_equal": "be at least {ge}",
        "greater_than": "be above {gt}",
        "less_than_equal": "be at most {le}",
        "less_than": "be below {lt}",
        "literal_error": "be {expected}",
        "int_parsing": "be a whole number",
        "int_from_float": "be a whole number",
        "float_parsing": "be a number",
        "finite_number": "be a finite number",
        "bool_parsing": "be True or False",
        "bool_type": "be true or false",
        "int_type": "be a whole number",
        "missing": "be given",
        "extra_forbidden": "not be given: there is no such option",
    }.get(fault["type"])
    if need is None:
        sentence = fault["msg"].removeprefix("Value error, ")
        return f"{name}: {sentence}" if name else sentence
    sentence = f"{name} must {need.format(**context)}"
    return sentence if fault["type"] in ("missing", "extra_forbidden") else f"{sentence}, got {fault['input']}"


def flags(kind: type[Options]) -> dict[str, FieldInfo]:
    """The options of a config by the name they have on a command line, in the order they are stated."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


class _Parser(argparse.ArgumentParser):
    """argparse with our one-sentence errors, no abbreviations, and a help that shows ranges."""

    def __init__(self, program: str, about: str):
        super().__init__(
            prog=program,
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.known: set[str] = set()

    def member(self, words: list[str], catalogue: Catalogue) -> str:
        """Takes the member's name off the front of `words`."""
        names = catalogue.names()
        if words and words[0] in ("-h", "--help"):
            sys.stdout.write(f"{(self.description or '').strip()}\n\nusage: {self.prog} NAME [--option value ...]\n\n")
            sys.stdout.write(f"NAME is one of {', '.join(names)}; `{self.prog} {names[0]} --help` shows its options\n")
            raise SystemExit(0)
        if not words or words[0].startswith("-"):
            self.error(f"the first word must be one of {', '.join(names)}")
        name = words.pop(0)
        if name not in names:
            self.error(f"unknown name {name!r}{_nearest(name, names)}; there are {', '.join(names)}")
        self.prog = f"{self.prog} {name}"
        return name

    def declare(self, kinds: Iterable[type[Options]]) -> None:
        self.add_argument("-h", "--help", action="help", help="show this help and end")
        for kind in kinds:
            group = self.add_argument_group((kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip("."))
            for name, field in flags(kind).items():
                if name in self.known:
                    raise ValueError(f"two configs of {self.prog} state the option {name!r}; rename one of them")
                self.known.add(name)
                group.add_argument(
                    f"--{name}",
                    action=_Once,
                    default=argparse.SUPPRESS,
                    metavar=_metavar(field),
                    help=_help(field),
                )

    def read(self, words: list[str]) -> dict[str, str]:
        values, unknown = self.parse_known_args(words)
        if unknown:
            word = unknown[0].split("=")[0]
            if not word.startswith("--"):
                self.error(f"unexpected word {word!r}: options are given as --name value")
            self.error(f"unknown option {word}{_nearest(word, [f'--{name}' for name in self.known])}")
        return vars(values)

    def build(self, kind: type[Options], values: dict[str, str]) -> Options:
        try:
            return kind(**values)
        except ValidationError as error:
            self.error(explain(error))

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(2)


class _Once(argparse.Action):
    """Stores a value; a second one is a mistake that must not pass in silence."""

    def __call__(self, parser, namespace, values, option_string=None):
        if hasattr(namespace, self.dest):
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _program() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return f"python -m {spec.name}" if spec is not None and spec.name.startswith(("steps.", "mmvid.")) else "mmvid"


def _nearest(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return {"search": None, "log": False, "decides": True} | (extra if isinstance(extra, dict) else {})


def _metavar(field: FieldInfo) -> str:
    kinds = (field.annotation, *typing.get_args(field.annotation))
    if typing.get_origin(field.annotation) is Literal:
        return "|".join(str(word) for word in typing.get_args(field.annotation))
    for kind, word in ((bool, "True|False"), (int, "N"), (float, "X")):
        if kind in kinds:
            return word
    return "A,B" if any(typing.get_origin(kind) is tuple for kind in kinds) else "TEXT"


def _help(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        shown = "required"
    elif isinstance(default, tuple):
        shown = "default " + (",".join(map(str, default)) or "none")
    else:
        shown = f"default {'none' if default in (None, '') else default}"
    search = _extra(field)["search"]
    ranged = f"; search {'..'.join(map(str, search))}" if search else ""
    return f"{field.description} ({shown}{ranged})".replace("%", "%%")
