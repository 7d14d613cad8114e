"""A local S3 server for tests, with faults: missing objects, and a line that breaks."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "idc-open-data"
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        }
    ],
}
_GONE = (
    b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>'
)


class S3Server:
    """moto's S3 with one public bucket.

    requests: method and path of each that came. gone: keys that are listed, but answered with 404.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[tuple[str, str]] = []
        self.gone: set[str] = set()
        self._client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self) -> None:
        self._client.create_bucket(Bucket=BUCKET)
        self._client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(_POLICY))

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def fetched(self) -> list[str]:
        """Keys of the objects that were asked for, without listings."""
        gets = [path for method, path in self.requests if method == "GET"]
        return sorted(path.removeprefix(f"/{BUCKET}/") for path in gets if path.startswith(f"/{BUCKET}/"))


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    """Run a server on a free port of the loopback."""
    application = DomainDispatcherApplication(create_backend_app)
    running: list[S3Server] = []

    def with_faults(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if running:
            running[0].requests.append((method, path))
            if method == "GET" and path.removeprefix(f"/{BUCKET}/") in running[0].gone:
                start_response("404 Not Found", [("Content-Type", "application/xml")])
                return [_GONE]
        answer: Iterable[bytes] = application(environ, start_response)
        return answer

    server = make_server("127.0.0.1", 0, with_faults, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        s3 = S3Server(server.server_port)
        s3.make_bucket()
        running.append(s3)
        yield s3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class BreakingLine:
    """A TCP proxy that lets `allowance` bytes of answers through on each connection, and then cuts it.

    allowance: None for a line that works. breaks_left: how many connections are cut before the line works, None for
    all. pause_s: waited after each 4 KiB. is_silent: whether all that is sent is swallowed.
    """

    def __init__(self, port: int) -> None:
        self.allowance: int | None = None
        self.breaks_left: int | None = None
        self.pause_s = 0.0
        self.is_silent = False
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        for one in [self._listener, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._sockets]:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [client, server]
                for source, sink, cuts in ((client, server, False), (server, client, True)):
                    self._threads.append(threading.Thread(target=self._pump, args=(source, sink, cuts)))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, cuts: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(4096):
                if cuts and self._is_over(passed + len(data)):
                    break
                if self.is_silent:
                    continue
                sink.sendall(data)
                passed += len(data)
                if cuts:
                    time.sleep(self.pause_s)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _is_over(self, passed: int) -> bool:
        if self.allowance is None or passed <= self.allowance or self.breaks_left == 0:
            return False
        if self.breaks_left is not None:
            self.breaks_left -= 1
        return True
