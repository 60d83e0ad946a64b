"""Encrypted data: keys are read from a file, and never said."""

import base64

import pytest

from duewheel import Keyring, LocalStorage, Scheduler
from duewheel.cli._ends import FINE, UNREACHABLE, USAGE

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


@pytest.fixture
def keys(tmp_path):
    def keys(text, name="keys"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return keys


@pytest.fixture
def secret(path):
    """A file whose data are encrypted under the key 1."""
    scheduler = Scheduler(LocalStorage(path, keys=Keyring({1: ONE}, default=1)))
    scheduler.in_(3_600, "t", b"hush", id="a")
    scheduler.close()
    return path


def test_keys_open_a_file_and_rotate_it(cli, secret, keys, monkeypatch):
    assert cli("list", "-f", secret).status == UNREACHABLE
    assert "--keys FILE" in cli("list", "-f", secret).err
    old = keys(f"# the first\n1 {ONE.hex()}\n")
    assert cli("show", "a", "-f", secret, "--keys", old, "--json").record["data"] == "hush"
    both = keys(f"1 {base64.b64encode(ONE).decode()}\n\n2 {TWO.hex().upper()}  # the new one\n", "both")
    monkeypatch.setenv("DUEWHEEL_KEYS", str(both))
    assert cli("rotate", "-f", secret, "--json").record["rotated"] is True
    new = keys(f"2 {TWO.hex()}", "new")
    assert cli("show", "a", "-f", secret, "--keys", new, "--json").record["data"] == "hush"
    assert cli("list", "-f", secret, "--keys", old).status == UNREACHABLE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no key in it"),
        ("# nothing", "has no key in it"),
        (f"1 {ONE.hex()[:-1]}", "line 1: say a number and a key of 32 bytes"),
        (f"\none {ONE.hex()}", "line 2"),
        (ONE.hex(), "line 1"),
        (f"1 {ONE.hex()} more", "line 1"),
        (f"99999999999 {ONE.hex()}", "99999999999"),
    ],
)
def test_a_file_of_keys_that_is_none(cli, secret, keys, text, said):
    ended = cli("list", "-f", secret, "--keys", keys(text))
    assert ended.status == USAGE and said in ended.err
    assert ONE.hex()[:-1] not in ended.err


def test_a_file_of_keys_that_is_not_there(cli, secret, tmp_path):
    assert "cannot be read" in cli("list", "-f", secret, "--keys", tmp_path / "nothing").err
    assert cli("list", "-f", secret, "--keys", tmp_path).status == USAGE


def test_what_is_exported_is_plain_and_imported_is_encrypted(cli, secret, keys, tmp_path):
    old = keys(f"1 {ONE.hex()}")
    exported = cli("export", "-f", secret, "--keys", old).out
    assert '"data":"hush"' in exported
    assert cli("import", "-", "-f", tmp_path / "b.db", "--keys", old, said=exported.encode()).status == FINE
    assert b"hush" not in (tmp_path / "b.db").read_bytes()
