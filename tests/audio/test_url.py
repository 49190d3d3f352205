import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from speechcli.audio import url
from speechcli.audio.read import audio_seconds, read_audio
from speechcli.audio.url import Url
from speechcli.errors import InputError

from .clips import RATE, tone, write


class Server(BaseHTTPRequestHandler):
    """Sends the sound at /a.wav, and misbehaves elsewhere."""

    sound = b""
    asked = None
    gone = False

    def do_GET(self):
        Server.asked = self.headers.get("Authorization")
        where = {
            "/there": "/a.wav",
            "/loop": "/loop",
            "/file": "file:///etc/passwd",
            "/ftp": "ftp://example.org/",
            "/inside": "http://10.0.0.1/a.wav",
        }
        if self.path in where:
            self.send_response(302)
            self.send_header("Location", where[self.path])
            self.end_headers()
            return
        if self.path == "/gone.wav" or (self.path.startswith("/caf") and self.path != "/caf%C3%A9%20a.wav?x=%25"):
            self.send_error(404)
            return
        if self.path == "/odd.wav":
            self.send_error(500, "\x1b[31mBad")
            return
        self.send_response(200)
        if self.path == "/chunks.wav":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nRIF\r\n9\r\nF")
            return
        if self.path == "/slow.wav":
            self.end_headers()
            self.send_slowly()
            return
        if self.path == "/numberless.wav":
            self.send_header("Content-Length", "many")
        elif self.path != "/unsized.wav":
            self.send_header("Content-Length", str(len(self.sound) + 9 * (self.path == "/cut.wav")))
        self.end_headers()
        self.wfile.write(self.sound)

    def send_slowly(self):
        """Send a byte every 10 ms, for 5 s or until the client has gone."""
        Server.gone = False
        for _ in range(500):
            try:
                self.wfile.write(b"\0")
            except OSError:
                Server.gone = True
                return
            time.sleep(0.01)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    Server.sound = write(tmp_path_factory.mktemp("url") / "a.wav", tone()).read_bytes()
    with HTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def anywhere(host, port):
    return [(None, None, None, "", ("93.184.216.34", port))]


def both(host, port):
    return [*anywhere(host, port), (None, None, None, "", ("192.168.0.1", port))]


def refusal(address, **options):
    with pytest.raises(InputError, match="cannot be fetched: ") as caught:
        Url(address).open(**options)
    return caught.value.message


@pytest.mark.parametrize("path", ["/a.wav", "/unsized.wav", "/numberless.wav"])
def test_a_recording_is_fetched_and_read(server, path):
    np.testing.assert_allclose(read_audio(Url(server + path), sample_rate=RATE).samples, tone(), atol=1e-4)
    assert audio_seconds(Url(server + path)) == 0.5


@pytest.mark.parametrize("path", ["/café a.wav?x=%25", "/caf%C3%A9%20a.wav?x=%25"])
def test_an_address_with_spaces_and_accents_is_escaped_once(server, path):
    assert read_audio(Url(server + path), sample_rate=RATE).seconds == 0.5


def test_a_redirect_is_followed_to_a_public_address_only(server):
    assert "redirected to 127.0.0.1, which is a private address" in refusal(f"{server}/there")
    assert "redirected to 10.0.0.1, which is a private address" in refusal(f"{server}/inside")
    assert "which is a private address" in refusal(f"{server}/there", resolve=both)
    assert "which is not a web address" in refusal(f"{server}/ftp", resolve=anywhere)
    assert "not allowed" in refusal(f"{server}/file", resolve=anywhere)
    assert "redirect" in refusal(f"{server}/loop", resolve=anywhere)
    with Url(f"{server}/there").open(resolve=anywhere) as file:
        assert file.read() == Server.sound


def test_a_url_that_is_too_large_missing_or_cut_off_is_refused(server):
    size = len(Server.sound)
    assert Url(f"{server}/unsized.wav").open(max_bytes=size).close() is None
    for path in ("/a.wav", "/unsized.wav"):
        assert refusal(server + path, max_bytes=size - 1).endswith(f"it is larger than {size - 1} bytes.")
    assert refusal(f"{server}/gone.wav").endswith("the server says 404 Not Found.")
    assert refusal(f"{server}/cut.wav").endswith(f"it ended after {size} of {size + 9} bytes.")
    assert refusal(f"{server}/chunks.wav").endswith("the server closed the connection before its end.")
    assert refusal(f"{server}/odd.wav").endswith("the server says 500 [31mBad.")
    assert "refused" in refusal("http://127.0.0.1:1/a.wav")
    assert refusal("http://[::1/a.wav")


def test_an_endless_download_is_stopped(server):
    with pytest.raises(InputError, match="cannot be fetched: it takes longer than 0 s"):
        Url(f"{server}/a.wav").open(max_seconds=0)


def test_a_very_slow_download_is_stopped_before_its_end(server):
    assert refusal(f"{server}/slow.wav", max_seconds=0.1).endswith("it takes longer than 0.1 s.")
    assert refusal(f"{server}/gone.wav")  # this server answers after it has ended the request before
    assert Server.gone


def test_a_silent_server_causes_a_timeout(monkeypatch):
    monkeypatch.setattr(url, "TIMEOUT_SECONDS", 0.05)
    with HTTPServer(("127.0.0.1", 0), Server) as silent:
        assert "sent nothing" in refusal(f"http://127.0.0.1:{silent.server_port}/a.wav")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a/talk.mp3?key=1", "talk.mp3"),
        ("https://example.org/a/", "a"),
        ("https://example.org:80", "example.org_80"),
        ("https://example.org/..%2f..%2fx.wav", "x.wav"),
        ("https://example.org/%2e%2e", "example.org"),
    ],
)
def test_the_file_name_is_the_last_part_of_the_path(address, name):
    assert Url(address).file_name == name


def test_a_password_is_sent_to_its_server_only(server):
    address = server.replace("//", "//me:s%40cret@")
    Url(f"{address}/a.wav").open().close()
    assert Server.asked == "Basic bWU6c0BjcmV0"
    Url(f"{address}/there").open(resolve=anywhere).close()
    assert Server.asked is None


def test_a_password_is_not_shown():
    assert str(Url("https://me:secret@example.org/a@b.wav")) == "https://example.org/a@b.wav"
