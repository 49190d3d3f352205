"""Download recordings from the web, with limits on time and size, and without redirects into the local network."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import socket
import string
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from speechcli import __version__
from speechcli.errors import InputError

MAX_BYTES = 4 * 2**30
TIMEOUT_SECONDS = 30.0
MAX_SECONDS = 3600.0
BLOCK_BYTES = 1 << 20
SCHEMES = ("http", "https")

Resolve = Callable[[str, int | None], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True)
class Url:
    """The URL of a recording."""

    address: str

    def __str__(self) -> str:
        """Return the address without a user's name and password."""
        scheme, rest = self.address.split("://", 1)
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"

    @property
    def file_name(self) -> str:
        """The last part of the path, or the server's name if the path is empty."""
        parts = urllib.parse.urlsplit(str(self))
        name = urllib.parse.unquote(parts.path).replace("\\", "/").replace("\0", "").rstrip("/").rpartition("/")[2]
        return name if name not in ("", ".", "..") else parts.netloc.replace(":", "_")

    def open(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        max_seconds: float = MAX_SECONDS,
        resolve: Resolve = socket.getaddrinfo,
    ) -> BinaryIO:
        """Download the recording.

        The user's URL may have any address; redirects must lead to public addresses.

        Args:
            max_bytes: maximum size.
            max_seconds: maximum duration of the download.
            resolve: resolves host and port to addresses, like `socket.getaddrinfo`.

        Returns:
            a temporary file, which is deleted when it is closed

        Raises:
            InputError: it cannot be fetched.
        """
        with contextlib.ExitStack() as stack:
            try:
                file = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
                opener = urllib.request.build_opener(_PublicRedirects(resolve))
                with opener.open(self._request(), timeout=TIMEOUT_SECONDS) as response:
                    self._copy(response, file, max_bytes, max_seconds)
            except urllib.error.HTTPError as error:
                error.close()
                raise self._refused(f"the server says {error.code} {error.reason}") from error
            except TimeoutError as error:
                raise self._refused(f"the server sent nothing for {TIMEOUT_SECONDS:.0f} s") from error
            except http.client.IncompleteRead as error:
                raise self._refused("the server closed the connection before its end") from error
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                raise self._refused(str(getattr(reason, "strerror", None) or reason or type(error).__name__)) from error
            file.seek(0)
            stack.pop_all()
            return file

    def _request(self) -> urllib.request.Request:
        # Browsers show addresses with spaces and the letters of any language, which are escaped here.
        address = urllib.parse.quote(str(self), safe=string.punctuation)
        request = urllib.request.Request(address, headers={"User-Agent": f"speechcli/{__version__}"})
        user, at, _ = urllib.parse.urlsplit(self.address).netloc.rpartition("@")
        if at:
            code = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {code}")
        return request

    def _copy(self, response: Any, file: BinaryIO, max_bytes: int, max_seconds: float) -> None:
        promised = response.length or 0
        size, began = 0, time.monotonic()
        # read1 returns available data, so that a very slow server does not block us.
        while size <= max_bytes >= promised and (block := response.read1(BLOCK_BYTES)):
            size += file.write(block)
            if time.monotonic() - began > max_seconds:
                raise self._refused(f"it takes longer than {max_seconds:g} s")
        if max(size, promised) > max_bytes:
            raise self._refused(f"it is larger than {max_bytes} bytes")
        if size < promised:
            raise self._refused(f"it ended after {size} of {promised} bytes")

    def _refused(self, reason: str) -> InputError:
        # A reason may be the server's, with line breaks or codes that control the terminal.
        shown = " ".join("".join(char if char.isprintable() else " " for char in reason).split())
        return InputError(f"{self} cannot be fetched: {shown.rstrip('.')}.")


class _PublicRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to public addresses, so that a server cannot reach into the local network."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            self._check(newurl)
        except (OSError, ValueError):
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def _check(self, address: str) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in SCHEMES or parts.hostname is None:
            raise ValueError(f"it is redirected to {address}, which is not a web address")
        found = [ipaddress.ip_address(each[4][0]) for each in self._resolve(parts.hostname, parts.port)]
        if not all(each.is_global for each in found):
            raise ValueError(f"it is redirected to {parts.hostname}, which is a private address")
