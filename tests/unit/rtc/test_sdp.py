"""Offers as text: limits, the candidate filter, answers put together again."""

from __future__ import annotations

import random
from ipaddress import ip_network

import pytest

from media_server.errors import BadRequest, PeerError, TooLarge
from media_server.rtc.sdp import MAX_CANDIDATES, CandidateFilter, finish_answer, read_offer

SECURITY = """a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=fingerprint:sha-256 00:11
a=setup:actpass"""

HEAD = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=msid-semantic: WMS"""

AUDIO = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
{SECURITY}
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:0 PCMU/8000"""

VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
{SECURITY}
a=mid:1
a=rtcp-mux
a=rtpmap:96 VP8/90000"""

DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{SECURITY}
a=mid:2
a=sctp-port:5000"""

OFFER = "\n".join((HEAD, AUDIO, VIDEO, DATA))
OPEN = CandidateFilter()


def offer(*parts: str) -> str:
    return "\r\n".join("\n".join(parts).split("\n")) + "\r\n"


def candidate(host: str, port: int = 50_000, rest: str = "typ host") -> str:
    return f"a=candidate:1 1 udp 2122260223 {host} {port} {rest}"


def test_what_aiortc_gets_has_no_video_and_no_trace_of_it_in_the_group() -> None:
    read = read_offer(OFFER, OPEN)
    assert "m=video" not in read.sdp
    assert "a=group:BUNDLE 0 2\r\n" in read.sdp
    assert [section.accepted for section in read.sections] == [True, False, True]
    assert read.microphone == 0


def test_an_answer_has_a_rejection_in_the_place_of_what_was_not_taken() -> None:
    read = read_offer(OFFER, OPEN)
    answer = offer(
        "v=0",
        "a=group:BUNDLE 0 2",
        "m=audio 5 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 10.0.0.5",
        "a=rtpmap:111 opus/48000/2",
        candidate("10.0.0.5"),
        candidate("fd00::5"),
        "m=application 5 UDP/DTLS/SCTP webrtc-datachannel",
        "a=max-message-size:262144",
    )
    lines = finish_answer(answer, read, "203.0.113.7", 16_384).splitlines()
    assert [line for line in lines if line.startswith("m=")] == [
        "m=audio 5 UDP/TLS/RTP/SAVPF 111",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "m=application 5 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    assert "a=fmtp:111 minptime=10;useinbandfec=1;stereo=0" in lines
    assert "a=max-message-size:16384" in lines
    assert candidate("203.0.113.7") in lines
    assert candidate("fd00::5") in lines
    assert "c=IN IP4 203.0.113.7" in lines


@pytest.mark.parametrize(
    ("direction", "microphone"),
    [("sendrecv", 0), ("sendonly", 0), ("recvonly", None), ("inactive", None)],
)
def test_the_microphone_is_the_first_line_that_sends(direction: str, microphone: int | None) -> None:
    read = read_offer(offer(HEAD, AUDIO.replace("a=sendrecv", f"a={direction}")), OPEN)
    assert read.microphone == microphone


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fe80::1",
        "100.100.100.200",
        "fd00:ec2::254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "4f2b1f3e-8f3c-4b62-9f6e-000000000000.local",
        "example.org",
        "10.9.8.7",
    ],
)
def test_no_check_is_ever_sent_to_such_an_address(host: str) -> None:
    denying = CandidateFilter(denied=(ip_network("10.9.0.0/16"),))
    read = read_offer(offer(HEAD, AUDIO, candidate(host), candidate("192.0.2.1")), denying)
    assert candidate(host) not in read.sdp
    assert candidate("192.0.2.1") in read.sdp
    assert (read.candidates, read.dropped_candidates) == (1, 1)


def test_loopback_is_for_servers_and_clients_on_loopback() -> None:
    here = CandidateFilter(loopback=True)
    assert here.allows("127.0.0.1", 50_000)
    assert not here.allows("127.0.0.1", 631)


@pytest.mark.parametrize("port", [0, 53, 1_023, 65_536])
def test_no_check_is_sent_to_a_well_known_port(port: int) -> None:
    assert not OPEN.allows("192.0.2.1", port)


def test_tcp_candidates_and_all_beyond_sixteen_are_left_out() -> None:
    many = [candidate(f"192.0.2.{n}") for n in range(1, 200)]
    tcp = candidate("192.0.2.1", 9, "typ host tcptype active").replace(" udp ", " tcp ")
    read = read_offer(offer(HEAD, AUDIO, tcp, *many), OPEN)
    assert read.candidates == MAX_CANDIDATES
    assert read.sdp.count("a=candidate:") == MAX_CANDIDATES
    assert " tcp " not in read.sdp


def test_ice_does_not_give_up_when_every_candidate_was_left_out() -> None:
    read = read_offer(offer(HEAD, AUDIO, candidate("127.0.0.1"), "a=end-of-candidates"), OPEN)
    assert "a=end-of-candidates" not in read.sdp


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no session description"),
        ("hello", "no session description"),
        (HEAD, "no media"),
        (offer(HEAD, *[AUDIO] * 9), "more than 8"),
        (offer(HEAD, VIDEO), "neither audio"),
        (offer(HEAD, AUDIO.replace("opus", "speex")), "no audio in Opus"),
        (offer(HEAD, AUDIO.replace("a=fingerprint", "a=x")), "lacks fingerprint"),
        (offer(HEAD, AUDIO.replace("a=ice-pwd", "a=x")), "lacks ice-pwd"),
        (offer(HEAD, AUDIO, AUDIO), "same mid"),
        (offer(HEAD, "m=audio"), "does not parse"),
        (offer(HEAD, "m=audio x y z"), "does not parse"),
    ],
)
def test_a_bad_offer_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_offer(text, OPEN)


def test_a_huge_offer_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(TooLarge):
        read_offer(OFFER + "a=x\n" * 10_000, OPEN)


def mutated(rng: random.Random) -> str:
    text = list(OFFER + "\n" + candidate("192.0.2.1"))
    for _ in range(rng.randrange(1, 30)):
        at = rng.randrange(len(text))
        text[at : at + rng.randrange(3)] = chr(rng.choice((0, 10, 32, 48, 58, 61, 97, 109, 255, 0x1F600)))
    return "".join(text)


def test_nothing_but_a_peer_error_comes_out_of_mutated_offers() -> None:
    rng = random.Random(11)
    outcomes = set()
    for _ in range(2_000):
        try:
            outcomes.add(type(read_offer(mutated(rng), OPEN)).__name__)
        except PeerError as error:
            outcomes.add(error.code)
    assert {"Offer", "BAD_SDP"} <= outcomes
