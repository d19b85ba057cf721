"""Clients that hold connections without using them, over raw sockets, at the real server."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect as connect_websocket

from tests.support.server import Server

PATIENCE_S = 45.0  # how long a test waits for what should take seconds


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ready=False, DRAIN_SECS="0", MAX_CONNECTIONS_PER_ADDRESS="40") as running:
        yield running


def connect(server: Server) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def rest(client: socket.socket) -> bytes:
    """What comes until the other side closes, however it does."""
    received = b""
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def half_sent_heads(server: Server) -> set[int]:
    """Of ten first and ten second requests on a connection."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(20)]
        for client in clients[:10]:
            client.sendall(b"POST /offer HTTP/1.1\r\nHost: x\r\nContent-")
        for client in clients[10:]:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status(client.recv(65536)) == 200
            client.sendall(b"GET /health HT")
        return {status(rest(client)) for client in clients}


def head_byte_by_byte(server: Server) -> set[int]:
    with connect(server) as client:
        client.settimeout(1.0)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        received, until = b"", time.monotonic() + PATIENCE_S
        while not received and time.monotonic() < until:
            client.sendall(b"x")
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
        return {status(received)}


def missing_body(server: Server) -> set[int]:
    with connect(server) as client:
        client.sendall(b"POST /offer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        answer = client.recv(65536)
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "REQUEST_TIMEOUT"
        return {status(answer)}


def test_requests_that_do_not_come_are_given_up_and_nobody_else_notices(server: Server) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        kinds = (half_sent_heads, head_byte_by_byte, missing_body)
        slow = [pool.submit(kind, server) for kind in kinds]
        while not all(done.done() for done in slow):
            assert server.fetch("GET", "/health")[0] == 200
            wait(slow, timeout=1)
        assert [done.result() for done in slow] == [{408}, {408}, {408}]
    # The promise is 15 s. A machine that stands still for a while may add to it.
    assert time.monotonic() - began < 15 + PATIENCE_S


@pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_is_too_large_is_refused(server: Server, head: bytes) -> None:
    with connect(server) as client:
        client.sendall(b"POST /offer HTTP/1.1\r\nHost: x\r\n" + head)
        piece = b"x" * 10_000
        if b"chunked" in head:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        client.sendall(piece * 10)
        answer = client.recv(65536)
        assert status(answer) == 413
        assert b'"TOO_LARGE"' in answer


def test_a_bomb_is_refused_by_what_it_unpacks_to(server: Server) -> None:
    bomb = gzip.compress(b" " * 30_000_000)
    assert len(bomb) < 64 * 1024
    code, answer = server.fetch("POST", "/offer", bomb, Content_Encoding="gzip")
    assert (code, answer["error"]["code"]) == (413, "TOO_LARGE")
    code, answer = server.fetch("POST", "/offer", bomb[5:900], Content_Encoding="gzip")
    assert (code, answer["error"]["code"]) == (400, "INVALID_BODY")


def test_idle_connections_of_an_address_give_way_to_its_next_ones(server: Server) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(100)]
        assert server.fetch("GET", "/health")[0] == 200
        assert rest(idle[0]) == b""
        idle[-1].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert status(rest(idle[-1])) == 200


def test_when_all_connections_of_an_address_are_at_work_the_next_one_is_told(server: Server) -> None:
    with ExitStack() as stack:
        at_work = [stack.enter_context(connect(server)) for _ in range(40)]
        for client in at_work:
            client.sendall(
                b"POST /offer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            )
            assert status(client.recv(65536)) == 100
        with connect(server) as client:
            assert status(rest(client)) == 429
        for client in at_work:
            client.sendall(b"123456789")
        assert {status(client.recv(65536)) for client in at_work} == {400}


def connections(server: Server) -> float:
    _, text = server.fetch("GET", "/metrics")
    return next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("lai_http_connections ")
    )


def test_websockets_count_as_connections_until_they_end(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect_websocket(f"ws://127.0.0.1:{server.port}/ws-audio"))
        assert connections(server) >= 3
        lost = connect(server)  # one that says it wants to be one and goes away
        lost.sendall(
            b"GET /ws-audio HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert status(lost.recv(65536)) == 400
        lost.close()
    until = time.monotonic() + PATIENCE_S
    while (left := connections(server)) > 1 and time.monotonic() < until:
        time.sleep(0.1)
    assert left == 1  # the one that asks


def test_requests_in_a_row_on_one_connection_are_all_answered(server: Server) -> None:
    with connect(server) as client:
        client.sendall(b"GET /session/status HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = rest(client)
        assert answer.count(b"HTTP/1.1 400 ") == 50
        assert answer.count(b"HTTP/1.1 200 ") == 1
    assert '"level": "error"' not in server.log
    assert "127.0.0.1" not in server.log.replace(f"http://127.0.0.1:{server.port}", "")
