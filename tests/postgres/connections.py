"""Connections of each driver, as programs have them, and how their transactions and savepoints begin and end."""

import contextlib

import pytest


def dialect_url(url, driver):
    return url.replace("postgresql://", f"postgresql+{driver}://")


def left_out(name):
    return pytest.importorskip(name, reason=f"LEFT OUT: {name} is not installed")


class Psycopg:
    """A psycopg connection, and how a transaction of it ends."""

    def __init__(self, url):
        self.connection = left_out("psycopg").connect(url)
        self.commit, self.rollback = self.connection.commit, self.connection.rollback

    def savepoint(self):
        return self.connection.transaction()

    def close(self):
        self.connection.close()


class DictCursors(Psycopg):
    """One whose rows and cursors are of another kind."""

    def __init__(self, url):
        super().__init__(url)
        self.connection.row_factory = left_out("psycopg.rows").dict_row
        self.connection.cursor_factory = left_out("psycopg").ClientCursor


class SqlAlchemy:
    def __init__(self, url):
        self.engine = left_out("sqlalchemy").create_engine(dialect_url(url, "psycopg"))
        self.connection = self.engine.connect()
        self.commit, self.rollback = self.connection.commit, self.connection.rollback

    def savepoint(self):
        return self.connection.begin_nested()

    def close(self):
        self.connection.close()
        self.engine.dispose()


class Session(SqlAlchemy):
    def __init__(self, url):
        super().__init__(url)
        self.connection.close()
        self.connection = left_out("sqlalchemy.orm").Session(self.engine)
        self.commit, self.rollback = self.connection.commit, self.connection.rollback


class ScopedSession(SqlAlchemy):
    def __init__(self, url):
        super().__init__(url)
        self.connection.close()
        orm = left_out("sqlalchemy.orm")
        self.connection = orm.scoped_session(orm.sessionmaker(self.engine))
        self.commit, self.rollback = self.connection.commit, self.connection.rollback


class Django:
    """`django.db.connection` as a program has it: in `atomic()` blocks."""

    def __init__(self, url):
        django, conf = left_out("django"), left_out("django.conf")
        from django.db.utils import ConnectionHandler
        from django.utils.connection import ConnectionProxy

        if not conf.settings.configured:
            conf.settings.configure(LOGGING_CONFIG=None)
            django.setup()
        parts = left_out("psycopg.conninfo").conninfo_to_dict(url)
        names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        given = {name: parts.get(key, "") for name, key in names.items()}
        handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql", **given}})
        self.connection = ConnectionProxy(handler, "default")
        self.connection.set_autocommit(False)
        self.commit, self.rollback = self.connection.commit, self.connection.rollback

    @contextlib.contextmanager
    def savepoint(self):
        point = self.connection.savepoint()
        try:
            yield
        except BaseException:
            self.connection.savepoint_rollback(point)
            raise

    def close(self):
        self.connection.close()


SYNC = [Psycopg, DictCursors, SqlAlchemy, Session, ScopedSession, Django]


@contextlib.asynccontextmanager
async def async_psycopg(url):
    connection = await left_out("psycopg").AsyncConnection.connect(url)
    async with connection:
        yield connection, connection.commit, connection.rollback, connection.transaction


@contextlib.asynccontextmanager
async def plain_asyncpg(url):
    connection = await left_out("asyncpg").connect(url)
    async with asyncpg_transactions(connection) as given:
        yield given
    await connection.close()


@contextlib.asynccontextmanager
async def pooled_asyncpg(url):
    pool = left_out("asyncpg").create_pool(url, min_size=1)
    async with pool, pool.acquire() as connection, asyncpg_transactions(connection) as given:
        yield given


@contextlib.asynccontextmanager
async def asyncpg_transactions(connection):
    transaction = connection.transaction()
    await transaction.start()

    async def end(how):
        nonlocal transaction
        await getattr(transaction, how)()
        transaction = connection.transaction()
        await transaction.start()

    yield connection, lambda: end("commit"), lambda: end("rollback"), connection.transaction
    await transaction.rollback()


def async_sqlalchemy(driver, session):
    @contextlib.asynccontextmanager
    async def connect(url):
        engine = left_out("sqlalchemy.ext.asyncio").create_async_engine(dialect_url(url, driver))
        made = left_out("sqlalchemy.ext.asyncio").AsyncSession(engine) if session else engine.connect()
        async with made as connection:
            yield connection, connection.commit, connection.rollback, connection.begin_nested
        await engine.dispose()

    return connect


ASYNC = {
    "psycopg": async_psycopg,
    "asyncpg": plain_asyncpg,
    "asyncpg_pool": pooled_asyncpg,
    "sqlalchemy_psycopg": async_sqlalchemy("psycopg", False),
    "sqlalchemy_psycopg_session": async_sqlalchemy("psycopg", True),
    "sqlalchemy_asyncpg": async_sqlalchemy("asyncpg", False),
    "sqlalchemy_asyncpg_session": async_sqlalchemy("asyncpg", True),
}
