"""Kinds from outside: the user's own classes, which the key ``kind`` names as ``module:Class``.

The module is one of the working directory, or an installed one. The class is a section: it derives
from the base class of its sort of section (a law, a noise family, a forward model), states its
keys, and returns what computes. The rest of a study treats it as a kind of this package.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from popinv.errors import ConfigError, PopinvError, nearest
from popinv.houses import packages
from popinv.sections.base import Section
from popinv.sections.sources import import_from_source, imported_names, module_file, module_files

_FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Kind(Section):
    """A section of one of several kinds, which the key ``kind`` selects.

    Installed kinds are packages with a module ``section`` and a module ``model`` that computes, or
    families of them have a module ``FAMILY_section`` beside the module ``FAMILY`` that
    computes. A kind from outside is a class of the user's module.
    """

    needed: ClassVar[tuple[str, ...]] = ()
    """Keys that every kind states."""

    kind: str

    def modules(self) -> tuple[str, ...]:
        """Return the modules, or the user's files, that a computation with this section runs."""
        if is_outside(self.kind):
            return kind_files(self.kind)
        section = type(self).__module__
        family = section.removesuffix("_section")
        if family != section:
            return (section, family)
        return (section, f"{section.rpartition('.')[0]}.model")

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A process that unpickles the section first needs the working directory in its path.
        if is_outside(self.kind):
            return _restored, (self.kind, self.model_dump())
        return super().__reduce_ex__(protocol)


def _restored(kind: str, values: dict[str, Any]) -> Kind:
    return cast(Kind, named_class(kind, Kind).model_validate(values))


def is_outside(kind: Any) -> bool:
    """Return whether a kind names one of the user's own classes."""
    return isinstance(kind, str) and ":" in kind


def kind_files(kind: str) -> tuple[str, ...]:
    """Return the user's files that a kind depends on, and modules of popinv that they import.

    The files hold the module and the modules of the working directory that it imports. Paths are
    relative to the working directory. The modules of popinv are those of this package and of the
    packages that add to it.
    """
    module = kind.partition(":")[0]
    files = sorted(module_files(module, "."))
    ours = {
        name
        for file in files
        if file.suffix == ".py"
        for name in imported_names(file, module)
        if name.partition(".")[0] in packages() and _is_module(name)
    }
    return (*map(str, files), *sorted(ours))


def _is_module(name: str) -> bool:
    return module_file(name, ".") is not None


def named_class(kind: str, base: type[Section]) -> type[Section]:
    """Return the class that ``module:Class`` names; its module is imported.

    Parameters
    ----------
    base : type
        The class that it must derive from.

    Raises
    ------
    ConfigError
        If the module or the class does not exist, if the import raises, if the class does not
        derive from ``base``, or if it lacks a method that it must have.
    """
    if not _FORM.fullmatch(kind):
        raise ConfigError("it must be 'module:Class', such as 'my_module:MyClass'")
    module_name, name = kind.split(":")
    module = _imported(module_name)
    defined = getattr(module, name, None)
    derived = [key for key, value in vars(module).items() if _derives(value, base)]
    wanted = f"a subclass of {base.__module__}.{base.__name__}"
    if defined is None:
        raise ConfigError(
            f"the module '{module_name}' ({_where(module)}) has no class '{name}'."
            + nearest(name, derived)
        )
    if not _derives(defined, base):
        raise ConfigError(f"'{name}' of the module '{module_name}' is not {wanted}")
    if missing := sorted(defined.__abstractmethods__):
        raise ConfigError(
            f"the class '{name}' of the module '{module_name}' lacks the "
            f"method{'s' if len(missing) > 1 else ''} {', '.join(missing)} of {base.__name__}"
        )
    for key in getattr(defined, "needed", ()):
        if key not in defined.model_fields:
            raise ConfigError(
                f"the class '{name}' of the module '{module_name}' does not state the key '{key}'"
            )
    return cast("type[Section]", defined)


def _derives(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base


def _where(module: Any) -> str:
    file = getattr(module, "__file__", None)
    return os.path.relpath(file) if file else "built in"


def _imported(module: str) -> Any:
    if module in sys.modules:
        return sys.modules[module]
    folder = os.getcwd()
    # As for a script that Python runs, modules beside the configuration come first. The folder
    # stays in the path for what the module imports later.
    added = not {folder, ""} & set(sys.path)
    if added:
        sys.path.insert(0, folder)
    import_from_source(folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if added:
            sys.path.remove(folder)
        raise ConfigError(_import_fault(module, folder, error)) from error


def _import_fault(module: str, folder: str, error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and (module == missing or module.startswith(f"{missing}.")):
        there = [path.stem for path in Path(folder).glob("*.py")]
        return (
            f"there is no module '{module}' in the working directory ({folder}), nor an installed "
            f"one.{nearest(module, there)}"
        )
    text = f"the module '{module}' cannot be imported: {described_error(error)}"
    if missing:
        text += f". Install what it needs beside popinv ({sys.executable} -m pip install ...)"
    return text


@contextmanager
def in_users_code(name: str) -> Iterator[None]:
    """Turn an error in the user's code into one that names the method, the error and its place."""
    try:
        yield
    except PopinvError:
        raise
    except Exception as error:
        raise ConfigError(f"'{name}' raised {described_error(error)}") from error


def demand(holds: bool, text: str) -> None:
    """Raise ConfigError with the text unless a condition on the user's code holds."""
    if not holds:
        raise ConfigError(text)


def described_error(error: BaseException) -> str:
    """Return the type, the message and the place of an error in the user's code."""
    text = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
    if isinstance(error, SyntaxError) and error.filename:
        return text
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not _is_ours(frame.filename)
    ]
    if not frames:
        return text
    # The user's line that calls a library is more informative than the library's own.
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(os.getcwd())
        and "site-packages" not in frame.filename
    ]
    last = (own or frames)[-1]
    return f"{text} ({Path(last.filename).name}, line {last.lineno})"


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(Path(__file__).parents[1])


@dataclass(frozen=True)
class OrOutside:
    """Annotation of a union of kinds, which allows a class of the user's instead.

    Parameters
    ----------
    base : type
        The class that the user's class derives from.
    noun : str
        The sort of section, for the documentation: "law", "noise family", "forward model".
    """

    base: type[Kind]
    noun: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validate kinds from outside with the class that they name, and all others as before."""
        return core_schema.no_info_wrap_validator_function(
            self._validated,
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                _dumped, info_arg=True, schema=handler(source)
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add a member for the kinds from outside."""
        written = handler(schema)
        written["oneOf"] = [*written["oneOf"], self._member()]
        return written

    def _member(self) -> JsonSchemaValue:
        base = f"{self.base.__module__}.{self.base.__name__}"
        return {
            "type": "object",
            "description": f"Your own {self.noun}, a class in a module of the working directory "
            f"or of an installed package. It is a subclass of `{base}`.",
            "properties": {
                "kind": {
                    "type": "string",
                    "pattern": f"^{_FORM.pattern}$",
                    "description": "`module:Class`. The other keys are those that the class "
                    "states.",
                }
            },
            "required": ["kind"],
            "additionalProperties": True,
        }

    def _validated(self, given: Any, handler: Callable[[Any], Any]) -> Any:
        if isinstance(given, self.base):
            return given
        kind = given.get("kind") if isinstance(given, dict) else None
        if not is_outside(kind):
            return handler(given)
        try:
            named = named_class(str(kind), self.base)
        except ConfigError as error:
            details = InitErrorDetails(
                type=PydanticCustomError("outside", "{text}", {"text": str(error).rstrip(".")}),
                loc=("kind",),
                input=kind,
            )
            raise ValidationError.from_exception_data("kind", [details]) from None
        # The location of an error begins with the kind, as it does for the kinds of a union.
        by_kind: Any = TypeAdapter(dict[str, named])  # type: ignore[valid-type]
        return by_kind.validate_python({kind: given})[kind]


def _dumped(section: Any, dump: Any, info: core_schema.SerializationInfo) -> Any:
    if isinstance(section, Kind) and is_outside(section.kind):
        return section.model_dump(mode=info.mode)
    return dump(section)
