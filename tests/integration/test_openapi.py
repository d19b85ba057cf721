"""The description at ``/openapi.json``: complete, and the running server does what it says, also with bad data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server import config
from media_server.engines.fleet import Fleet
from media_server.engines.registry import Plan
from media_server.metrics import Metrics
from media_server.rooms.hub import Hub
from media_server.rtc.calls import Calls
from signaling.app import make_app
from signaling.description import describe
from tests.support.server import Server

CONFIG = Path(__file__).with_name("schemathesis.toml")
WEBSOCKETS = ("/ws",)  # OpenAPI describes no WebSockets


def schemathesis(server: Server, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs it in ``folder``, where it leaves a cache. Time-outs are for a machine that is busy with other tests."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--no-color"]
    command += ["--request-timeout", "30", "--suppress-health-check", "all"]
    return subprocess.run(
        [*command, f"{server.url}/openapi.json", *options],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ready=False, DRAIN_SECS="0", MAX_SESSIONS="1000") as running:
        yield running


async def test_every_route_is_described_and_every_description_is_served(project_root: Path) -> None:
    settings = config.load({})
    metrics = Metrics()
    hub = Hub(settings, Fleet(Plan(), metrics), metrics)
    app = make_app(hub, Calls(hub), project_root / "web")
    served = {
        (re.sub(r":[^}]*}", "}", route.resource.canonical), route.method.lower())
        for route in app.router.routes()
        if route.resource is not None
        and route.method not in {"HEAD", "OPTIONS"}
        and not route.resource.canonical.startswith(WEBSOCKETS)
    }
    paths = describe(settings)["paths"]
    described = {(path, method) for path, operations in paths.items() for method in operations}
    assert served == described


def test_only_a_server_with_keys_says_that_it_needs_one() -> None:
    assert "security" not in describe(config.load({}))
    described = describe(config.load({"API_KEYS": "hunter2"}))
    assert described["security"] == [{"header": []}, {"query": []}]
    assert "hunter2" not in str(described)


def test_the_running_server_does_what_its_description_says_also_with_bad_data(tmp_path: Path) -> None:
    with Server(ready=False, DRAIN_SECS="0", MAX_SESSIONS="100000") as server:
        outcome = schemathesis(server, tmp_path, "--max-examples", "20")
        assert outcome.returncode == 0, outcome.stdout
        assert re.search(r"Operations: +\d+ selected", outcome.stdout), outcome.stdout
        assert '"level": "error"' not in server.log


def test_with_keys_nothing_but_the_public_part_answers_without_one(tmp_path: Path) -> None:
    with Server(ready=False, DRAIN_SECS="0", MAX_SESSIONS="100000", API_KEYS="hunter2") as server:
        for path, operations in describe(config.load({}))["paths"].items():
            for method, operation in operations.items():
                status, _ = server.fetch(method.upper(), path.replace("{", "").replace("}", ""))
                assert (status == 401) == ("security" not in operation), (method, path, status)
        # What an endpoint takes with a key is what it takes without keys: the slow ones are not asked again.
        header = ("--header", "Authorization: Bearer hunter2", "--exclude-path-regex", "^/v1/audio")
        outcome = schemathesis(
            server, tmp_path, *header, "--phases", "examples,coverage", "--max-examples", "5"
        )
        assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "NOT_FOUND"),
        ("GET", "/static/../media_server/config.py", 404, "NOT_FOUND"),
        ("GET", "/static/nothing.js", 404, "NOT_FOUND"),
        ("DELETE", "/offer", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/session/status", 400, "SESSION_MISSING"),
        ("GET", "/session/status?session=unknown", 404, "SESSION_NOT_FOUND"),
        ("GET", f"/session/status?session={'x' * 129}", 400, "INVALID_MESSAGE"),
        ("GET", "/health?ready=perhaps", 400, "INVALID_MESSAGE"),
    ],
)
def test_what_is_not_there_is_refused_in_json(
    server: Server, method: str, path: str, status: int, code: str
) -> None:
    answer = server.fetch(method, path)
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


def test_options_names_the_methods_of_a_path(server: Server) -> None:
    assert server.headers("OPTIONS", "/session/create")["Allow"] == "OPTIONS, POST"
    assert server.headers("PUT", "/session/create")["Allow"] == "POST"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 201),
        ("application/vnd.api+json", 201),
        ("text/plain", 201),
        ("application/x-www-form-urlencoded", 201),  # what curl -d says of anything
        ("application/sdp", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_a_body_that_is_said_to_be_no_json_is_refused(server: Server, kind: str, status: int) -> None:
    answer = server.fetch("POST", "/session/create", b"{}", Content_Type=kind)
    assert answer[0] == status


def test_a_session_made_first_is_the_one_its_call_gets(server: Server) -> None:
    asked = b'{"sourceLang": "en-US", "targetLang": "es", "roomId": "standup", "consent": true}'
    status, made = server.fetch("POST", "/session/create", asked, Content_Type="application/json")
    assert status == 201
    assert (made["sourceLang"], made["targetLang"], made["roomId"]) == ("en", "es", "standup")
    assert (made["state"], made["connected"], made["consentGiven"]) == ("created", False, True)
    assert 50 < made["expiresInSecs"] <= 60
    offer = describe(config.load({}))["paths"]["/offer"]["post"]["requestBody"]["content"]
    body = offer["application/json"]["examples"]["plain"]["value"]
    _, answer = server.fetch("POST", f"/offer?session={made['sessionId']}", json.dumps(body).encode())
    assert answer["sessionId"] == made["sessionId"]
    _, after = server.fetch("GET", f"/session/status?session={made['sessionId']}")
    assert (after["state"], after["targetLang"], after["expiresInSecs"]) == ("connected", "es", None)
    assert after["resumes"] == 0
