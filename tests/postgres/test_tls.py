"""Encrypted connections and passwords, with a server whose certificate is of an authority of its own."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pg_server
import pytest

from duewheel import PostgresStorage, Scheduler, StorageError

HOST = "db.example"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
HBA = """\
local all postgres trust
hostssl all scram,nobody 127.0.0.1/32 scram-sha-256
hostssl all hashed 127.0.0.1/32 md5
hostssl all certified 127.0.0.1/32 cert
hostnossl all plain 127.0.0.1/32 scram-sha-256
"""


def openssl(*arguments, at):
    subprocess.run(["openssl", *arguments], cwd=at, check=True, capture_output=True)


def authority(at, name):
    files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    openssl("req", "-x509", *KEY, "-nodes", "-days", "2", "-subj", f"/CN={name}", *files, at=at)


def certificate(at, name, *, subject, authority, extension):
    files = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl("req", *KEY, "-nodes", "-subj", f"/CN={subject}", *files, at=at)
    (at / "extension").write_text(extension)
    by = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", "extension")
    openssl("x509", "-req", "-in", f"{name}.csr", "-days", "2", *by, "-out", f"{name}.crt", at=at)


@pytest.fixture(scope="module")
def files():
    """Two authorities; the first has signed the server's certificate and a client's."""
    if shutil.which("openssl") is None:
        pytest.skip("LEFT OUT: there is no openssl")
    at = Path(tempfile.mkdtemp(prefix="duewheel-tls-", dir="/tmp"))
    for name in ("ours", "theirs"):
        authority(at, name)
    certificate(at, "server", subject=HOST, authority="ours", extension=f"subjectAltName=DNS:{HOST}")
    certificate(at, "client", subject="certified", authority="ours", extension="extendedKeyUsage=clientAuth")
    (at / "hba").write_text(HBA)
    user = pg_server.unprivileged()
    if user is not None:
        for path in (at, *at.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
    yield at
    shutil.rmtree(at)


@pytest.fixture(scope="module")
def server(files):
    settings = {
        "ssl": "on",
        "ssl_cert_file": files / "server.crt",
        "ssl_key_file": files / "server.key",
        "ssl_ca_file": files / "ours.crt",
        "hba_file": files / "hba",
        "fsync": "off",
    }
    server = pg_server.start(settings=tuple(f"{name}={value}" for name, value in settings.items()))
    if server is None:
        pytest.skip("LEFT OUT: there is no server of PostgreSQL that has TLS, as that of Debian has")
    sql = pg_server.Psql(f"host={server.home} port={server.port} user=postgres dbname=postgres").sql
    for role in ("scram", "plain"):
        sql(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'secret'")
    sql("SET password_encryption = md5; CREATE ROLE hashed LOGIN SUPERUSER PASSWORD 'secret'")
    sql("CREATE ROLE certified LOGIN SUPERUSER")
    server.sql = sql
    yield server
    server.stop()


@pytest.fixture
def opened(server, schema):
    """Opens a node by what a connection string says, and tells of its connection what the server knows."""

    @contextlib.contextmanager
    def opened(more, *, user="scram", password="secret", host=HOST, timeout=10):
        where = f"host={host} hostaddr=127.0.0.1 port={server.port} dbname=postgres"
        url = f"{where} user={user} password={password} {more}"
        with Scheduler(PostgresStorage(url, schema=schema, timeout=timeout)) as scheduler:
            assert scheduler.in_(60, "a") in scheduler
            (found,) = server.sql(
                "SELECT coalesce(version, '') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                f"WHERE application_name = 'duewheel' AND usename = '{user}'"
            )
            yield found

    return opened


@pytest.fixture
def refused(opened):
    """The same where it is refused; what it is refused with."""

    def refused(more, *, why, **options):
        with pytest.raises(StorageError, match=why) as error, opened(more, timeout=0, **options):
            pass
        return str(error.value)

    return refused


@pytest.mark.parametrize(
    "more",
    [
        "",
        "sslmode=require",
        "sslmode=require sslrootcert={ours}",
        "sslmode=verify-ca sslrootcert={ours}",
        "sslmode=verify-full sslrootcert={ours}",
        "sslmode=verify-full sslrootcert={ours} channel_binding=require",
    ],
)
def test_a_connection_is_encrypted(opened, files, more):
    with opened(more.format(ours=files / "ours.crt")) as version:
        assert version.startswith("TLSv1")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_another_authority_is_refused(refused, files, mode):
    refused(f"sslmode={mode} sslrootcert={files / 'theirs.crt'}", why="certificate")


def test_a_certificate_of_another_host_is_refused_where_the_host_is_checked(opened, refused, files):
    root = f"sslrootcert={files / 'ours.crt'}"
    with opened(f"sslmode=verify-ca {root}", host="other.example"):
        pass
    refused(f"sslmode=verify-full {root}", host="other.example", why="certificate")


def test_the_authorities_of_the_system(opened, refused, files, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "ours.crt"))
    with opened("sslrootcert=system") as version:
        assert version.startswith("TLSv1")
    refused("sslrootcert=system", host="other.example", why="certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "theirs.crt"))
    refused("sslrootcert=system", why="certificate")


def test_a_server_that_takes_no_tls_is_refused_where_it_is_asked_for(opened, refused):
    # Of this role the server takes connections without TLS alone.
    with opened("sslmode=disable", user="plain") as version:
        assert version == ""
    refused("sslmode=require", user="plain", why="no pg_hba.conf entry")


def test_passwords(opened, refused):
    with opened("channel_binding=require"):
        pass
    with opened("", user="hashed"):
        pass
    # There is nothing to bind to.
    refused("channel_binding=require", user="hashed", why="channel binding")
    refused("sslmode=disable channel_binding=require", user="plain", why="channel binding")
    for user in ("scram", "hashed"):
        assert "another" not in refused("", user=user, password="another", why="password authentication failed")


def test_a_certificate_instead_of_a_password(opened, refused, files):
    certificate = f"sslcert={files / 'client.crt'} sslkey={files / 'client.key'}"
    with opened(certificate, user="certified", password="none"):
        pass
    refused("", user="certified", password="none", why="certificate")
