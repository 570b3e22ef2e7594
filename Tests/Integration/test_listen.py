"""Where the server listens is judged by the address, not by how it is written."""

from __future__ import annotations

import os
import pathlib
import shlex
import stat
import subprocess

import pytest
from secured import Secured, UnixConnection, token
from wire import BINARY, Connection, Server


def refused(tmp_path, flag: str, host: str, wrap: tuple[str, ...] = ()) -> str:
    """What is said to an address that is not taken."""
    other = "--http-listen" if flag == "--listen" else "--listen"
    command = [*wrap, BINARY, "serve", "--data", str(tmp_path / "log"), flag, f"{host}:0", other, "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 64, done.stderr
    assert not (tmp_path / "log").exists()
    return done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "127.255.255.254", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_loopback_is_listened_on_however_it_is_written(tmp_path, host):
    if host == "[::1]" and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    with Server(tmp_path / "log", listen=f"{host}:0") as server:
        listening = server.address.rpartition(":")[0]
        assert listening.startswith(("127.", "[::1]", "[::ffff:127."))
        assert server.stop() == 0


@pytest.mark.parametrize("flag", ["--listen", "--http-listen"])
@pytest.mark.parametrize("host", ["0.0.0.0", "0", "[::]", "[::ffff:0.0.0.0]", "128.0.0.1", "[::ffff:10.0.0.1]", "[::2]"])
def test_an_address_that_others_reach_is_refused(tmp_path, flag, host):
    error = refused(tmp_path, flag, host)
    assert flag in error and "--insecure-listen" in error and "not a loopback address" in error


@pytest.mark.skipif(os.geteuid() != 0, reason="names of one's own take root")
@pytest.mark.parametrize("name", ["127.evil.example", "localhost.evil.example", "localhost"])
def test_a_name_that_leads_elsewhere_is_refused_and_its_address_told(tmp_path, name):
    # A network of its own too, so that whatever is bound is bound there.
    (tmp_path / "hosts").write_text(f"0.0.0.0 {name}\n")
    script = f"mount --bind {shlex.quote(str(tmp_path / 'hosts'))} /etc/hosts; ip link set lo up; exec \"$@\""
    wrap = ("unshare", "--mount", "--net", "sh", "-ec", script, "sh")
    if subprocess.run([*wrap, "true"], capture_output=True).returncode != 0:
        pytest.skip("may not make namespaces here")
    error = refused(tmp_path, "--listen", name, wrap)
    assert name in error and "which is 0.0.0.0" in error


def test_a_name_that_nobody_knows_is_named(tmp_path):
    assert "host nowhere.invalid cannot be found" in refused(tmp_path, "--listen", "nowhere.invalid")


def test_one_server_listens_at_several_addresses_and_one_log_is_behind_them(tmp_path):
    path = tmp_path / "socket"
    with Server(tmp_path / "log", "--unix-mode", "0660", listen=f"127.0.0.1:0, unix:{path}") as server:
        tcp, unix = (address.strip() for address in server.address.split(","))
        assert unix == f"unix:{path}" and stat.S_IMODE(path.stat().st_mode) == 0o660
        first, second = Connection(int(tcp.rpartition(":")[2])), UnixConnection(str(path))
        first.hello(hub="a")
        second.hello(hub="b")
        first.append({"kind": "k"})
        second.append({"kind": "k"})
        assert [record.header.hub for record in first.read_all()] == ["a", "b"]
        assert server.stop() == 0


@pytest.mark.parametrize("mode", ["0600", "0660", "0666"])
def test_a_unix_socket_has_the_mode_that_was_asked_for_whatever_the_umask(tmp_path, mode):
    path = tmp_path / "socket"
    with Server(tmp_path / "log", "--unix-mode", mode, listen=f"unix:{path}", wrap=("sh", "-c", 'umask 077; exec "$@"', "sh")):
        assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)


def test_with_tls_the_unix_socket_beside_it_has_none(tmp_path):
    secured, path = Secured(tmp_path), tmp_path / "socket"
    text, line = token("t")
    secured.write(f"identity t {line}\nidentity me unix {os.getuid()}\n")
    with Server(tmp_path / "log", *secured.flags, listen=f"unix:{path},127.0.0.1:0") as server:
        assert UnixConnection(str(path)).hello().identity == f"unix:{os.getuid()}"
        server.address = server.address.rpartition(",")[2].strip()
        assert secured.connect(server).hello(token=text).identity == "token:t"


@pytest.mark.parametrize(
    ("listen", "flags", "sentence"),
    [
        ("unix:{0}/a,unix:{0}/a", (), "stands there twice"),
        (",", (), "no address to listen at"),
        ("unix:{0}/a", ("--unix-mode", "0777"), "not one of 0600, 0660, 0666"),
        ("unix:{0}/a", ("--unix-mode", "rw"), "not one of 0600, 0660, 0666"),
        ("127.0.0.1:0,0.0.0.0:0", (), "not a loopback address"),
    ],
)
def test_addresses_that_cannot_be_listened_at_are_named(tmp_path: pathlib.Path, listen: str, flags: tuple[str, ...], sentence: str):
    command = [BINARY, "serve", "--data", str(tmp_path / "log"), "--listen", listen.format(tmp_path), "--http-listen", "off", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 64 and sentence in done.stderr, done.stderr
    assert not (tmp_path / "log").exists()
