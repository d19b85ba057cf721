"""A caller whom only a TURN server reaches: coturn between Chromium and the server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Playwright

from tests.browser.chromium import launch
from tests.support.server import Server, free_port

SECRET = "a secret between the two servers"

CALL = """async () => {
  const ice = (await (await fetch('/ice-servers')).json()).iceServers;
  const pc = new RTCPeerConnection({iceServers: ice, iceTransportPolicy: 'relay'});
  const channel = pc.createDataChannel('captions');
  const stream = await navigator.mediaDevices.getUserMedia({audio: true});
  pc.addTrack(stream.getAudioTracks()[0], stream);
  await pc.setLocalDescription(await pc.createOffer());
  await new Promise(done => {
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
    setTimeout(done, 5000);
  });
  const offered = pc.localDescription.sdp;
  const answer = await (await fetch('/offer', {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({sdp: offered, type: 'offer'})})).json();
  await pc.setRemoteDescription({type: 'answer', sdp: answer.sdp});
  const pong = new Promise((done, fail) => {
    channel.onopen = () => channel.send('ping 5');
    channel.onmessage = event => event.data.startsWith('pong') && done(event.data);
    setTimeout(() => fail(new Error('no pong: ' + pc.connectionState)), 15000);
  });
  const answered = await pong;
  let kinds = [], sent = 0;
  for (let tries = 0; tries < 100 && !sent; tries++) {
    await new Promise(done => setTimeout(done, 50));
    kinds = [];
    (await pc.getStats()).forEach(report => {
      if (report.type === 'local-candidate') kinds.push(report.candidateType);
      if (report.type === 'outbound-rtp') sent = report.packetsSent;
    });
  }
  pc.close();
  return {answered, kinds, sent, username: ice[0].username, relayed: offered.includes('typ relay')};
}"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def turn(tmp_path: Path) -> Iterator[int]:
    """The port of a coturn that knows the secret."""
    program = shutil.which("turnserver")
    assert program, "coturn is not installed (Debian: coturn)"
    port = free_port()
    command = [
        program, "-n", "--log-file", "stdout", "--simple-log", "--no-tls", "--no-dtls", "--no-cli",
        "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--listening-port", str(port),
        "--allow-loopback-peers", "--use-auth-secret", "--static-auth-secret", SECRET, "--realm", "test",
        "--pidfile", str(tmp_path / "turn.pid"), "--userdb", str(tmp_path / "turn.db"),
    ]  # fmt: skip
    with (tmp_path / "turn.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        until = time.monotonic() + 10
        while not listens(port):
            assert process.poll() is None and time.monotonic() < until, (tmp_path / "turn.log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_goes_through_a_turn_server_with_short_lived_credentials(
    playwright: Playwright, turn: int
) -> None:
    browser = await launch(playwright)
    try:
        with Server(
            ready=False, ICE_SERVERS=f"turn:127.0.0.1:{turn}?transport=udp", TURN_SECRET=SECRET
        ) as server:
            context = await browser.new_context(permissions=["microphone"])
            page = await context.new_page()
            await page.goto(server.url)
            result: dict[str, Any] = await page.evaluate(CALL)
    finally:
        await browser.close()
    assert result["answered"] == "pong 5"
    assert result["relayed"]
    assert set(result["kinds"]) == {"relay"}
    assert result["sent"] > 0
    expires = int(result["username"].split(":")[0])
    assert 0 < expires - time.time() <= 3600
