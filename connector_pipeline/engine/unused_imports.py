"""Modules that Dagster imports and a command does not use, left out until they are used.

Two thirds of the CPU of `connector-pipeline sync` are imports. Dagster imports its daemon with a
library of logging to have one type, its components to export their names, and Alembic to be able to
migrate (docs/architecture.md, What a sync costs besides the platform).

Three ways, each for those that have it: a module is executed at the first use of one of its names;
while a module executes, another one is stood in for, of which it only keeps names for later; a
module is said to be missing where its importer goes on without it. Whoever uses what was left out
gets the real thing. Where Dagster imports something else, or uses it at once, a row has no effect
or the import is done as ever.

Needs: that the modules use these names in functions alone; that `dagster` only exports those of its
components. Tried with Dagster 1.13.27, dagster-postgres 0.29.27, SQLAlchemy 2.0 and httpx 0.28. An
`import dagster` that imports its parts when they are used would replace this module.
"""

import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

_EXECUTED_WHEN_USED: Final = frozenset(
    {
        "dagster._daemon",
        "sqlalchemy.dialects.mysql.aiomysql",
        "sqlalchemy.dialects.mysql.asyncmy",
        "sqlalchemy.dialects.mysql.cymysql",
        "sqlalchemy.dialects.mysql.mariadbconnector",
        "sqlalchemy.dialects.mysql.mysqlconnector",
        "sqlalchemy.dialects.mysql.pymysql",
        "sqlalchemy.dialects.mysql.pyodbc",
        "sqlalchemy.dialects.postgresql.asyncpg",
        "sqlalchemy.dialects.postgresql.pg8000",
        "sqlalchemy.dialects.postgresql.psycopg",
        "sqlalchemy.dialects.postgresql.psycopg2cffi",
        "sqlalchemy.dialects.sqlite.aiosqlite",
        "sqlalchemy.dialects.sqlite.pysqlcipher",
    }
)
"""Importers bind the module itself, or want a module below it."""

_COMPONENTS: Final = "dagster.components"
_BACKFILL: Final = "dagster._core.execution.backfill"
_STOOD_IN_FOR: Final[Mapping[str, Sequence[str]]] = {
    "dagster": [_COMPONENTS],
    "dagster._core.definitions.definitions_load_context": [_COMPONENTS],
    "dagster._core.remote_representation.external_data": [_COMPONENTS],
    "dagster._core.storage.event_log.migration": ["tqdm"],
    "dagster._core.storage.runs.base": [_BACKFILL],
    "dagster._core.storage.runs.migration": [_BACKFILL, "tqdm"],
    "dagster._core.storage.runs.sql_run_storage": [_BACKFILL],
    "dagster._core.storage.event_log.sqlite.sqlite_event_log": ["tqdm"],
    "dagster._core.storage.schedules.migration": ["tqdm"],
    "dagster._core.storage.sql": ["alembic"],
    "dagster_postgres.utils": ["alembic"],
}
"""Importers, each with the modules and packages of which it keeps names for later."""

_SAID_TO_BE_MISSING: Final = frozenset({"httpx._main"})
"""httpx imports its own command line if that is installed, and with it a highlighter of syntax."""


def leave_out_unused_imports() -> None:
    """Leave the modules out that are not imported yet.

    For a command that runs syncs and ends; one that lives long imports as ever.
    """
    if not _leaves_out():
        sys.meta_path.insert(0, _Finder())


@contextmanager
def making_definitions() -> Generator[None]:
    """Leave components out while the block makes the first Definitions of a process.

    Whatever checks their arguments asks for a type of components. Does nothing in a process that
    leaves nothing out.
    """
    with _standing_in_for([_COMPONENTS]) if _leaves_out() else nullcontext():
        yield


def _leaves_out() -> bool:
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


class _Finder(MetaPathFinder):
    """Finds the modules of the tables, where Python finds them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _SAID_TO_BE_MISSING:
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)
        stood_in_for = _STOOD_IN_FOR.get(fullname)
        if fullname not in _EXECUTED_WHEN_USED and stood_in_for is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        if stood_in_for is None:
            spec.loader = _WhenUsed(spec.loader)
        else:
            spec.loader = _WithStandIn(spec.loader, stood_in_for)
        return spec


class _WhenUsed(Loader):
    """Makes a module that is executed at the first use of a name that it does not have yet."""

    def __init__(self, real: Loader):
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _UnusedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        # What the module's own spec says of its loader is what inspects and reloads it.
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        module.__loader__ = self._real


class _UnusedModule(ModuleType):
    """A module that was imported and not executed."""

    def __getattr__(self, name: str) -> Any:
        # Python looks for these by the way, for example when it imports a module of a package.
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        # Other threads wait for the whole module; its own circular imports see it as far as it is.
        with _executing:
            spec = self.__spec__
            if spec is not None and spec.loader is not None and self.__name__ not in _executed:
                _executed.add(self.__name__)
                spec.loader.exec_module(self)
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


_executing: Final = threading.RLock()
_executed: Final[set[str]] = set()


class _WithStandIn(Loader):
    """Executes a module while others that it imports are stood in for."""

    def __init__(self, real: Loader, left_out: Sequence[str]):
        self._real, self._left_out = real, left_out

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        module.__loader__ = self._real
        with _standing_in_for(self._left_out):
            self._real.exec_module(module)
        if module.__name__ == "dagster":
            _export_when_used(module)


@contextmanager
def _standing_in_for(left_out: Sequence[str]) -> Generator[None]:
    finder = _StandIns([name for name in left_out if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, found in list(sys.modules.items()):
            if isinstance(found, _StandIn):
                del sys.modules[name]


class _StandIns(MetaPathFinder, Loader):
    """Finds modules, and whatever is asked for below them, with any name in them."""

    def __init__(self, left_out: Sequence[str]):
        self._left_out = left_out

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self._left_out):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: any name is there."""


class _StandIn(ModuleType):
    """In place of a module: has any name, for later."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _Later(self.__name__, name)


class _Later:
    """In place of a function or class: imports it when it is called, or asked for an attribute."""

    __slots__ = ("_module", "_name")

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def real(self) -> Any:
        """What it stands for. Raises ImportError and AttributeError."""
        return getattr(import_module(self._module), self._name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.real()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.real())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.real())

    def __or__(self, other: object) -> "_Later":
        """For annotations, as in `Config | None`."""
        return self

    __ror__ = __or__


def _export_when_used(module: ModuleType) -> None:
    """Have the module import what it exports of the package that was stood in for, when used."""
    names = vars(module)
    later = {name: value for name, value in names.items() if isinstance(value, _Later | _StandIn)}
    for name in later:
        del names[name]
    others = names.get("__getattr__")

    def find(name: str) -> Any:
        found = later.get(name)
        if isinstance(found, _StandIn):
            return import_module(found.__name__)
        if found is not None:
            names[name] = found.real()
            return names[name]
        if others is not None:
            return others(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    names["__getattr__"] = find
