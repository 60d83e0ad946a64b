"""Schedule and withdraw jobs in a transaction of the caller's: one statement on the caller's connection.

A connection is known by the names of the classes that it is of, so no driver is imported. Nothing is begun, committed
or set on it.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from duewheel import _core
from duewheel._checks import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PSYCOPG = "psycopg"
_ASYNCPG = "asyncpg"
_SQLALCHEMY = "sqlalchemy"
_DJANGO = "django"

_KINDS = {
    ("psycopg", "Connection"): (_PSYCOPG, False),
    ("psycopg", "AsyncConnection"): (_PSYCOPG, True),
    ("asyncpg", "Connection"): (_ASYNCPG, True),
    ("asyncpg", "PoolConnectionProxy"): (_ASYNCPG, True),
    ("sqlalchemy", "Connection"): (_SQLALCHEMY, False),
    ("sqlalchemy", "Session"): (_SQLALCHEMY, False),
    ("sqlalchemy", "scoped_session"): (_SQLALCHEMY, False),
    ("sqlalchemy", "AsyncConnection"): (_SQLALCHEMY, True),
    ("sqlalchemy", "AsyncSession"): (_SQLALCHEMY, True),
    ("sqlalchemy", "async_scoped_session"): (_SQLALCHEMY, True),
    ("django", "BaseDatabaseWrapper"): (_DJANGO, False),
    ("django", "ConnectionProxy"): (_DJANGO, False),
}
"""The driver, and whether it is awaited, by the package and the name of a class."""

_TERMS = ("text", "bigint", "boolean", "bytea", "text", "bigint", "bigint", "bigint", "bigint", "boolean", "bytea")
"""The types of what a job is scheduled with; the last one is what few jobs carry beside their data."""
_REPEAT_TERMS = ("text", "bigint", "bytea", "text", *_TERMS[5:-1], "text", "bytea", "bytea")
_UNIQUE_VIOLATION = "23505"
_INDEX_OF_IDS = '"job_id"'


class _Statement(NamedTuple):
    schema: str
    function: str
    types: tuple[str, ...]
    values: tuple[Any, ...]
    id: str | None
    """The id that it takes, if it takes one."""

    def text(self, mark: Callable[[int], str], escape: tuple[str, str] = ("", "")) -> str:
        """Return it for a driver: the mark of each parameter, and what stands there for what in a text."""
        schema = self.schema.replace('"', '""')
        if escape[0]:
            schema = schema.replace(*escape)
        given = ", ".join(f"CAST({mark(n)} AS {kind})" for n, kind in enumerate(self.types))
        return f'SELECT "{schema}".{self.function}({given})'


def scheduling(
    core: _core.Scheduler, is_delay: bool, when: Any, target: Any, data: Any, id: Any, options: Any, job_options: Any
) -> _Statement:
    """Return the statement of `at` or `in_`; refuse what they refuse."""
    schema, values = _core.transaction_terms(core, is_delay, when, target, data, id=id, options=options, **job_options)
    if values[-1] is None:
        return _Statement(schema, "schedule_v1", _TERMS[:-1], values[:-1], id)
    return _Statement(schema, "schedule_v2", _TERMS, values, id)


def repeating(core: _core.Scheduler, schedule: Any, target: Any, data: Any, keywords: dict[str, Any]) -> _Statement:
    """Return the statement of `repeat`; refuse what it refuses."""
    schema, values = _core.transaction_repeats(core, schedule, target, data, **keywords)
    if values[-1] is None:
        return _Statement(schema, "repeat_v1", _REPEAT_TERMS[:-1], values[:-1], values[3])
    return _Statement(schema, "repeat_v2", _REPEAT_TERMS, values, values[3])


def cancelling(core: _core.Scheduler, id: Any) -> _Statement:
    """Return the statement of `cancel`; refuse what it refuses."""
    schema, checked = _core.transaction_cancels(core, id)
    return _Statement(schema, "cancel", ("text",), (checked,), None)


def _driver(connection: Any) -> tuple[str, bool]:
    for kind in type(connection).__mro__:
        found = _KINDS.get((kind.__module__.partition(".")[0], kind.__name__))
        if found is not None:
            return found
    raise TypeError(
        "connection must be a psycopg 3, asyncpg, SQLAlchemy (Connection, Session, AsyncConnection, AsyncSession) or "
        f"Django connection, not {shown(connection)}"
    )


def _check_server(name: str) -> None:
    if name != "postgresql":
        raise TypeError(f"connection must be one to PostgreSQL, not to {name!r}")


@contextmanager
def _translated(id: str | None) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if id is not None and _is_taken(error):
            raise _core.duplicate_job(id) from error
        raise


def _is_taken(error: Exception) -> bool:
    """Tell whether a driver says that the id is taken: by its own error, or by one that it has wrapped."""
    for found in (error, error.__cause__):
        state = getattr(found, "sqlstate", None) or getattr(found, "pgcode", None)
        if state == _UNIQUE_VIOLATION and _INDEX_OF_IDS in str(found):
            return True
    return False


def run_here(connection: Any, statement: _Statement) -> Any:
    """Run a statement on a connection that is not awaited; return its one value."""
    driver, is_async = _driver(connection)
    if is_async:
        raise TypeError(
            f"connection must not be an async one, and {shown(connection)} is: await the call of a "
            "duewheel.aio.Scheduler, which takes it"
        )
    with _translated(statement.id):
        if driver == _PSYCOPG:
            with _psycopg(connection, "Cursor") as cursor:
                return cursor.execute(*_formatted(statement)).fetchone()[0]
        if driver == _DJANGO:
            _check_server(connection.vendor)
            with connection.cursor() as cursor:
                cursor.execute(*_formatted(statement))
                return cursor.fetchone()[0]
        if not hasattr(connection, "exec_driver_sql"):
            connection = connection.connection()  # of a session
        _check_server(connection.dialect.name)
        return connection.execute(_sqlalchemy(statement)).scalar_one()


async def run(connection: Any, statement: _Statement) -> Any:
    """Run a statement on a connection that is awaited; return its one value."""
    driver, is_async = _driver(connection)
    if not is_async:
        raise TypeError(
            f"connection must be an async one, and {shown(connection)} would keep the event loop waiting: call a "
            "duewheel.Scheduler with it, in a thread"
        )
    with _translated(statement.id):
        if driver == _PSYCOPG:
            async with _psycopg(connection, "AsyncCursor") as cursor:
                await cursor.execute(*_formatted(statement))
                return (await cursor.fetchone())[0]
        if driver == _ASYNCPG:
            return await connection.fetchval(statement.text(lambda n: f"${n + 1}"), *statement.values)
        if not hasattr(connection, "exec_driver_sql"):
            connection = await connection.connection()  # of a session
        _check_server(connection.dialect.name)
        return (await connection.execute(_sqlalchemy(statement))).scalar_one()


def _psycopg(connection: Any, kind: str) -> Any:
    # Not what the connection makes: a cursor may be of a kind, and make rows, that are the caller's.
    return getattr(sys.modules["psycopg"], kind)(connection, row_factory=lambda _cursor: tuple)


def _formatted(statement: _Statement) -> tuple[str, tuple[Any, ...]]:
    return statement.text(lambda _n: "%s", ("%", "%%")), statement.values


def _sqlalchemy(statement: _Statement) -> Any:
    sqlalchemy: Any = sys.modules["sqlalchemy"]
    types = {
        "text": sqlalchemy.Text,
        "bigint": sqlalchemy.BigInteger,
        "boolean": sqlalchemy.Boolean,
        "bytea": sqlalchemy.LargeBinary,
    }
    text = sqlalchemy.text(statement.text(lambda n: f":p{n}", (":", "\\:")))
    given = zip(statement.types, statement.values, strict=True)
    return text.bindparams(
        *(sqlalchemy.bindparam(f"p{n}", value, types[kind]) for n, (kind, value) in enumerate(given))
    )
