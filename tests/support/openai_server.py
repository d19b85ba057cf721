"""A real HTTP server that speaks OpenAI's protocols and misbehaves as a test wants."""

from __future__ import annotations

import io
import json
import socket
import threading
import wave
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import numpy as np

Act = Callable[["Exchange"], None]


class Closing(Protocol):
    def close(self) -> None: ...


@dataclass
class Asked:
    path: str
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Exchange(BaseHTTPRequestHandler):
    """One connection; an act writes the answer by it."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        owner = self.server.owner
        owner.asked.append(Asked(self.path, self.headers, body))
        owner.peers.add(self.client_address)
        act = owner.acts.popleft() if owner.acts else owner.usual
        try:
            act(self)
        except OSError:  # the client has had enough
            self.close_connection = True

    def answer(
        self, body: bytes, media_type: str = "application/json", status: int = 200, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    owner: FakeOpenAi

    def handle_error(self, *_: object) -> None:
        pass


@dataclass
class FakeOpenAi:
    """``acts`` answer one request each, in order; then ``usual`` answers all."""

    usual: Act
    acts: deque[Act] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    peers: set[object] = field(default_factory=set)
    sent: int = 0
    """Bytes of huge answers."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set at the end: whoever waits does so no longer."""

    clients: list[Closing] = field(default_factory=list)

    def keep[T: Closing](self, client: T) -> T:
        """Closed at the end."""
        self.clients.append(client)
        return client

    def __enter__(self) -> FakeOpenAi:
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


def says(value: object, status: int = 200, **headers: str) -> Act:
    """JSON."""
    return lambda exchange: exchange.answer(json.dumps(value).encode(), status=status, **headers)


def sends(body: bytes, media_type: str, status: int = 200, **headers: str) -> Act:
    return lambda exchange: exchange.answer(body, media_type, status, **headers)


def fails(status: int, **headers: str) -> Act:
    error = {"error": {"message": "quotes what was said: SPEECH", "type": "server_error", "code": None}}
    return says(error, status, **headers)


def never(exchange: Exchange) -> None:
    """Takes the request and says nothing."""
    exchange.server.owner.over.wait(60)
    exchange.close_connection = True


def drips(exchange: Exchange) -> None:
    """A byte of the headers now and then, so that no single read takes long."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: ")
    while not exchange.server.owner.over.wait(0.05):
        exchange.wfile.write(b"x")
        exchange.wfile.flush()


def drips_body(exchange: Exchange) -> None:
    exchange.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    while not exchange.server.owner.over.wait(0.05):
        exchange.wfile.write(b" ")
        exchange.wfile.flush()


def huge(media_type: str, told: bool) -> Act:
    """40 MB, with or without saying so before."""

    def act(exchange: Exchange) -> None:
        exchange.close_connection = True
        length = "Content-Length: 41943040\r\n" if told else "Transfer-Encoding: chunked\r\n"
        exchange.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n{length}\r\n".encode())
        piece = b" " * 65536
        for _ in range(640):
            exchange.wfile.write(piece if told else b"10000\r\n" + piece + b"\r\n")
            exchange.server.owner.sent += len(piece)

    return act


def breaks(exchange: Exchange) -> None:
    """Ends in mid-answer."""
    exchange.wfile.write(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"text'
    )
    exchange.wfile.flush()
    exchange.connection.shutdown(socket.SHUT_RDWR)
    exchange.close_connection = True


def closes(exchange: Exchange) -> None:
    """Answers in order and closes the connection without announcing it."""
    exchange.answer(b'{"text": "closing"}')
    exchange.close_connection = True


def tone(seconds: float, rate: int = 24_000) -> bytes:
    """A WAV file: a hum that a voice meter takes for speech."""
    time = np.arange(int(seconds * rate)) / rate
    sound = (6000 * np.sin(2 * np.pi * 220 * time)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(sound.tobytes())
    return file.getvalue()
