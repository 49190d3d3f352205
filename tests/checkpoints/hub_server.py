"""A server on this machine that speaks the Hub's endpoints for one model, with the faults that a test asks for."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "c0ffee" + "0" * 34


class HubServer:
    """The server's files, its faults, and the requests that it got."""

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        self.name = name
        self.files = files
        self.revisions = {"main", "v1", COMMIT}
        self.token: str | None = None
        """Without it, the model does not exist."""
        self.gated = False
        self.faults: dict[str, list[str]] = {}
        """By a file's name, or "api": "cut", "short" or a status, each for one request."""
        self.sent: Counter[str] = Counter()
        """Bytes sent of each file."""
        self.taken: dict[str, bytes] = {}
        """Files that were uploaded, by path."""
        self.ranges: list[str] = []
        self.address = ""

    def fault(self, name: str) -> str | None:
        return self.faults[name].pop(0) if self.faults.get(name) else None


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        """Take small files, which are part of the request that commits them."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = self.path.rpartition("/api/")[2].removeprefix(f"models/{self.hub.name}/").partition("/")[0]
        if self.hub.token is not None and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._error(403, "")
        fault = self.hub.fault(place)
        if fault == "cut":
            self.close_connection = True
            return None
        if fault is not None:
            return self._error(int(fault), "")
        answer: dict[str, Any] = {"url": f"{self.hub.address}/{self.hub.name}", "errors": [], "warnings": []}
        if place == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            answer["files"] = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
        if place == "commit":
            values = [json.loads(line)["value"] for line in body.splitlines()[1:]]
            self.hub.taken |= {value["path"]: base64.b64decode(value["content"]) for value in values}
            answer |= {"commitUrl": f"{answer['url']}/commit/{COMMIT}", "commitOid": COMMIT}
        content = json.dumps(answer).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(content))})
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        name = re.escape(self.hub.name)
        if self.hub.token is not None and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._error(401, "RepoNotFound")
        elif not re.match(rf"/(api/models/)?{name}(/|$)", path):
            self._error(401, "RepoNotFound")
        elif found := re.fullmatch(rf"/{name}/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups(), body=body)
        elif found := re.fullmatch(rf"/api/models/{name}(?:/(?:revision|tree)/([^/]+))?", path):
            self._api(found[1] or "main", listing="/tree/" in path)
        else:
            self._error(404, "EntryNotFound")

    def _api(self, revision: str, *, listing: bool) -> None:
        fault = self.hub.fault("api")
        if fault is not None:
            return self._error(int(fault), "")
        if revision not in self.hub.revisions:
            return self._error(404, "RevisionNotFound")
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in self.hub.files.items()
        ]
        about = {"id": self.hub.name, "modelId": self.hub.name, "sha": COMMIT, "siblings": []}
        content = json.dumps(entries if listing else about).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _file(self, revision: str, name: str, *, body: bool) -> None:
        if self.hub.gated:
            return self._error(403, "GatedRepo")
        if name not in self.hub.files:
            return self._error(404, "EntryNotFound")
        fault = self.hub.fault(name) if body else None
        if fault is not None and fault.isdigit():
            return self._error(int(fault), "")
        content, status, extra = self.hub.files[name], 200, {}
        tag = hashlib.sha1(content).hexdigest()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is not None and body:
            self.hub.ranges.append(wanted[0])
            first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            extra = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
            content, status = content[first : last + 1], 206
        if fault == "short":
            content = content[:-7]
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", **extra}
        self._head(status, headers | {"Content-Length": str(len(content))})
        if body:
            part = content[: len(content) // 2] if fault == "cut" else content
            self.hub.sent[name] += len(part)
            self.wfile.write(part)
            self.close_connection = fault == "cut" or self.close_connection

    def _error(self, status: int, code: str) -> None:
        self._head(status, {"X-Error-Code": code, "Content-Length": "0"})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()


@contextmanager
def serving(name: str, files: dict[str, bytes]) -> Iterator[HubServer]:
    hub = HubServer(name, files)
    handler: Any = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
