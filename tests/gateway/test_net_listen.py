"""Where the gateway listens, how it starts, refuses to start, and ends."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest
from gateway.test_net_bodies import begin
from support.frames import CLOSE, TEXT, open_frames
from support.service import TOKEN, Ended, Service, Wire


@dataclass
class Certificates:
    folder: Path

    def openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def issue(self, name: str, authority: str | None) -> None:
        signed = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"] if authority else []
        self.openssl(
            *["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
            *[
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.pem",
                "-days",
                "2",
                "-subj",
                f"/CN={name}",
            ],
            *["-addext", "subjectAltName=DNS:localhost", *signed],
        )

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def client(self, name: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.path("authority.pem"))
        if name:
            context.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.issue("authority", None)
    made.issue("server", "authority")
    made.issue("friend", "authority")
    made.issue("stranger", None)
    return made


def ask(wire: Wire, target: str = "/api/echo/x") -> int:
    with wire:
        wire.request(target)
        return wire.reply().status


@pytest.fixture(scope="module")
def service(certificates: Certificates) -> Iterator[Service]:
    pair = [
        "--certfile",
        certificates.path("server.pem"),
        "--keyfile",
        certificates.path("server.key"),
    ]
    with Service(*pair) as service:
        yield service


class TestTls:
    def test_requests(self, service: Service, certificates: Certificates) -> None:
        assert service.url.startswith("https://")
        with service.connect(certificates.client()) as wire:
            for body in (b"", b"x" * 3_000_000):
                wire.request("/api/echo/x", "POST", body=body)
                assert wire.reply().json()["body_bytes"] == len(body)
            wire.request("/api/bytes/30000000")
            assert len(wire.reply().body) == 30_000_000

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_versions(
        self, service: Service, certificates: Certificates, version: ssl.TLSVersion
    ) -> None:
        context = certificates.client()
        context.minimum_version = context.maximum_version = version
        with service.connect(context) as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            assert wire.socket.version() == version.name.replace("_", ".")

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_old_version_is_refused(self, service: Service, certificates: Certificates) -> None:
        context = certificates.client()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            service.connect(context)

    def test_websocket(self, service: Service, certificates: Certificates) -> None:
        from support.frames import BINARY, Frames, upgrade

        with service.connect(certificates.client()) as wire:
            assert upgrade(wire, "/api/ws/echo").status == 101
            frames = Frames(wire)
            frames.send(BINARY, b"t" * 20_000_000)
            assert frames.receive().payload == b"t" * 20_000_000
        with service.connect(certificates.client()) as wire:
            assert upgrade(wire, "/api/ws/flood?bytes=1000000&count=50").status == 101
            frames = Frames(wire)
            for _ in range(50):
                assert len(frames.receive().payload) == 1_000_000
            frames.send(TEXT, b"close 1000 done")
            assert frames.closed_with() == 1000

    @pytest.mark.parametrize("query", ["", "?wait"])
    def test_streamed_body(self, service: Service, certificates: Certificates, query: str) -> None:
        """Also when reading stops in the middle of what is decrypted already."""
        body, replies = os.urandom(5_000_000), []

        def send() -> None:
            with service.connect(certificates.client()) as wire:
                wire.request(f"/api/stream/x{query}", "PUT", body=body)
                replies.append(wire.reply().json())

        sender = threading.Thread(target=send)
        sender.start()
        while query and sender.is_alive():
            with service.connect(certificates.client()) as other:
                other.request("/api/go", "POST")
                assert other.reply().status == 204
        sender.join()
        assert (replies[0]["bytes"], replies[0]["sum"]) == (len(body), crc32(body))

    def test_plain_and_broken_clients(self, service: Service, certificates: Certificates) -> None:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(3000), b"\x16\x03\x01"):
            with service.connect() as wire:
                wire.send(noise)
                wire.socket.shutdown(socket.SHUT_WR)
                with pytest.raises((Ended, ConnectionResetError)):
                    wire.reply()
        assert ask(service.connect(certificates.client())) == 200

    def test_client_certificate(self, certificates: Certificates) -> None:
        options = ["--certfile", certificates.path("server.pem")]
        options += ["--keyfile", certificates.path("server.key")]
        with Service(*options, "--client-ca", certificates.path("authority.pem")) as service:
            assert ask(service.connect(certificates.client("friend"))) == 200
            for name in (None, "stranger"):
                with pytest.raises((ssl.SSLError, ConnectionResetError, Ended)):
                    ask(service.connect(certificates.client(name)))


REFUSED_STARTS = {
    "unknown_option": (["--prot", "1"], 2, "unknown option --prot"),
    "bad_number": (["--port", "http"], 2, "--port: http is not a whole number"),
    "out_of_range": (["--port", "70000"], 2, "--port: 70000 is out of range (0 to 65535)"),
    "bad_bool": (["--list-kernels=maybe"], 2, "--list-kernels: maybe is neither true nor false"),
    "no_value": (["--port"], 2, "--port: needs a value"),
    "stray_word": (["--port", "0", "word"], 2, "word: not expected here"),
    "bad_level": (["--log-level", "loud"], 2, "--log-level: loud is not one of"),
    "kernel_gateway_flag": (["--KernelGatewayApp.port=x"], 2, "--KernelGatewayApp.port: x is not"),
    "no_config": (["--config", "/absent.ini"], 2, "--config: /absent.ini does not exist"),
    "no_token_file": (["--token-file", "/absent"], 2, "token-file: /absent does not exist"),
    "token_with_blank": (["--token", "a b"], 2, "token: must not hold blanks"),
    "bad_address": (["--ip", "nowhere.example", "--insecure-http"], 1, "is not an IP address"),
    "bad_pattern": (["--allow-origin-pat", "("], 1, "allow_origin_pat: "),
    "bad_certificate": (["--certfile", "/absent.pem"], 1, "certfile: cannot use /absent.pem"),
    "beyond_without_token": (["--ip", "0.0.0.0", "--token", ""], 1, "token: must not be empty"),
    "beyond_without_tls": (["--ip", "0.0.0.0"], 1, "--insecure-http does without TLS"),
    "foreign_address": (["--ip", "192.0.2.1", "--insecure-http"], 1, "cannot listen at 192.0.2.1"),
}


@pytest.mark.parametrize("name", REFUSED_STARTS)
def test_refuses_to_start(name: str, tmp_path: Path) -> None:
    options, status, sentence = REFUSED_STARTS[name]
    service = Service(*options)
    found = service.fail_to_start()
    assert found.returncode == status
    assert sentence in found.stderr
    assert found.stderr.startswith("warmcell: ")
    assert found.stderr.count("\n") == 1
    assert found.stdout == ""


def test_listens_beyond_this_machine_when_told() -> None:
    with Service("--ip", "*", "--insecure-http") as service:
        assert service.url.startswith("http://127.0.0.1:")
        assert service.ask("/api", host="any.example").status == 200


def test_ipv6() -> None:
    with Service("--ip", "::1") as service:
        assert service.url == f"http://[::1]:{service.port}/"
        with Wire(socket.create_connection(("::1", service.port))) as wire:
            wire.request("/api", host=f"[::1]:{service.port}")
            assert wire.reply().status == 200


def test_taken_port() -> None:
    with Service() as first:
        second = Service("--port", str(first.port))
        found = second.fail_to_start()
        assert found.returncode == 1
        assert f"port {first.port} of 127.0.0.1 is taken" in found.stderr
        with Service("--port", str(first.port), "--port-retries", "50") as third:
            assert third.port > first.port
            assert third.ask("/api").status == 200


def test_port_file(tmp_path: Path) -> None:
    file = tmp_path / "port"
    with Service("--port-file", str(file)) as service:
        assert file.read_text() == f"{service.port}\n"
    assert not file.exists()
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for place in (tmp_path / "absent" / "port", tmp_path / "folder"):
        found = Service("--port-file", str(place)).fail_to_start()
        assert found.returncode == 1 and "port-file: cannot write" in found.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]  # and nothing half written


class TestUnixSocket:
    def test_mode_and_removal(self) -> None:
        with Service(unix=True) as service:
            path = service.socket_path
            assert path and service.url == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert service.ask("/api", host="whatever.example").status == 200
        assert not path.exists()

    def test_stale_socket_is_replaced(self) -> None:
        service = Service(unix=True)
        service.start()
        service.stop(signal.SIGKILL)
        assert service.socket_path and service.socket_path.is_socket()
        with service:
            assert service.ask("/api").status == 200

    def test_taken_by_another(self) -> None:
        with Service(unix=True) as first:
            second = Service("--socket", str(first.socket_path))
            found = second.fail_to_start()
            assert found.returncode == 1
            assert "somebody serves at" in found.stderr
            assert first.ask("/api").status == 200

    def test_what_is_no_socket_stays(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("precious")
        for path, sentence in (
            (file, "exists and is not a socket"),
            (tmp_path / "absent" / "socket", "cannot listen at"),
            (tmp_path / ("x" * 120), "longer than 107 bytes"),
        ):
            service = Service("--socket", str(path))
            found = service.fail_to_start()
            assert found.returncode == 1
            assert sentence in found.stderr
        assert file.read_text() == "precious"


class TestEnding:
    """With --drain-s for as long as a test may take."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_websockets_get_1012_and_replies_are_finished(self, number: int) -> None:
        with Service("--drain-s", "1000") as service, ExitStack() as stack:
            sockets = [stack.enter_context(open_frames(service)) for _ in range(3)]
            idle = stack.enter_context(service.connect())
            idle.request("/api")
            assert idle.reply().status == 200
            busy = stack.enter_context(service.connect())
            begin(busy)
            service.process.send_signal(number)
            assert idle.at_end()
            for frames in sockets:
                found = frames.receive()
                assert found.code == 1012
                frames.send(CLOSE, found.payload)
                assert frames.wire.at_end()
            busy.send(b"def")
            reply = busy.reply()
            assert (reply.json()["bytes"], reply.header("connection")) == (6, "close")
            with pytest.raises(ConnectionRefusedError):
                service.connect()
            stack.close()  # nobody is waited for
            assert service.process.wait(30) == 0

    def test_what_does_not_end_is_cut(self) -> None:
        with Service("--drain-s", "0") as service, service.connect() as wire, open_frames(service):
            wire.request("/api/later?ms=600000")
            service.ask("/api/later?ms=50")
            assert service.stop() == 0

    def test_second_signal_ends_at_once(self) -> None:
        service = Service("--drain-s", "1000")
        service.start()
        with service.connect() as wire:
            wire.request("/api/later?ms=600000")
            service.ask("/api/later?ms=50")
            service.process.send_signal(signal.SIGTERM)
            with pytest.raises((ConnectionError, Ended)):
                while True:  # until it has stopped listening
                    service.ask("/api")
            assert service.stop(signal.SIGTERM) == 1


def test_connections_come_and_go_without_a_trace() -> None:
    with Service() as service:
        before = service.descriptors()
        for round_ in range(40):
            with ExitStack() as stack:
                wires = [stack.enter_context(service.connect()) for _ in range(250)]
                for i, wire in enumerate(wires):
                    match i % 5:
                        case 0:
                            wire.request("/api")
                        case 1:
                            wire.send(b"GET /api HT")
                        case 2:
                            wire.request("/api/ws/echo", headers={"Upgrade": "websocket"})
                        case 3:
                            wire.request("/api/later?ms=1")
                assert wires[-5].reply().status == 200, round_
        while service.descriptors() > before:
            assert service.ask("/api/later?ms=10").status == 200


def test_too_many_connections() -> None:
    with Service("--connections-limit", "5") as service, ExitStack() as stack:
        wires = [stack.enter_context(service.connect()) for _ in range(5)]
        for wire in wires:
            wire.request("/api")
            assert wire.reply().status == 200
        with pytest.raises((Ended, ConnectionResetError, BrokenPipeError)):
            service.ask("/api")
        wires[0].socket.close()
        wires[1].request("/api/later?ms=20")
        assert wires[1].reply().status == 200
        assert service.ask("/api").status == 200


class TestSources:
    """Flags win over the environment, that over the ini file."""

    def test_precedence(self, tmp_path: Path) -> None:
        ini = tmp_path / "w.ini"
        ini.write_text("# a comment\n[warmcell]\nbase_url = /ini\n; another\nmax-age = 5\n")
        config = ["--config", str(ini)]
        with Service(*config) as service:
            assert service.ask("/ini/api").header("access-control-max-age") == "5"
        with Service(*config, env={"WARMCELL_BASE_URL": "/env"}) as service:
            assert service.ask("/env/api").header("access-control-max-age") == "5"
        with Service(*config, env={"KG_BASE_URL": "/kg", "KG_MAX_AGE": "6"}) as service:
            assert service.ask("/kg/api").header("access-control-max-age") == "6"
        with Service(*config, "--base-url=/flag", env={"WARMCELL_BASE_URL": "/env"}) as service:
            assert service.ask("/flag/api").status == 200

    def test_usual_place(self, tmp_path: Path) -> None:
        (tmp_path / "warmcell").mkdir()
        (tmp_path / "warmcell" / "warmcell.ini").write_text("base-url=/usual\n")
        with Service(env={"XDG_CONFIG_HOME": str(tmp_path)}) as service:
            assert service.ask("/usual/api").status == 200

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("nonsense = 1\n", "line 1: unknown key nonsense"),
            ("\nno equals\n", "line 2: must be key = value"),
            ("port = x\n", "port (line 1 of "),
        ],
    )
    def test_bad_file(self, tmp_path: Path, text: str, sentence: str) -> None:
        ini = tmp_path / "w.ini"
        ini.write_text(text)
        service = Service("--config", str(ini))
        command = [str(service.program), "--config", str(ini)]
        found = subprocess.run(
            command, env=service.env, capture_output=True, text=True, check=False
        )
        assert found.returncode == 2
        assert sentence in found.stderr

    def test_command_line_of_kernel_gateway(self) -> None:
        options = [
            "--KernelGatewayApp.ip=127.0.0.1",
            "--KernelGatewayApp.port=0",
            f"--KernelGatewayApp.auth_token={TOKEN}",
            "--JupyterApp.answer_yes=true",
            "--KernelGatewayApp.api=kernel_gateway.jupyter_websocket",
            "--JupyterWebsocketPersonality.list_kernels=True",
            "--JupyterWebsocketPersonality.env_whitelist=['A','B']",
            "--MappingKernelManager.cull_idle_timeout=3600",
            "--KernelGatewayApp.allow_origin=*",
        ]
        with Service(*options, token=None) as service:
            assert service.ask("/api/echo/x").status == 200
