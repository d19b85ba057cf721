"""A voice of an OpenAI-compatible server: ``POST {base}/audio/speech``, a request a sentence.

Sound is asked for as WAV and taken as whatever comes: WAV, MP3, Ogg, FLAC, AAC by their first bytes, else samples as
OpenAI sends them (int16, 24 kHz). The voice's loudness is measured on its first sentences.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from media_server.audio import containers
from media_server.audio.resample import resample
from media_server.engines import voicing
from media_server.engines.base import VOICE_RATE, Capabilities, Pcm, SpeakRequest, Speech
from media_server.engines.openai_asr import LANGUAGES
from media_server.engines.openai_http import Answer, OpenAiServer, Rejected
from media_server.engines.sentences import sentences, speakable
from media_server.errors import EngineFailed

LONGEST_TEXT = 20_000  # characters
LONGEST_SENTENCE = 300  # characters, about 20 s of speech
MOST_S = 60.0  # of sound for a sentence
PCM_RATE = 24_000  # Hz
MEASURED_S = 2.0  # of speech that a voice's loudness is told from

_BARE = frozenset({"audio/pcm", "audio/l16", "audio/raw"})  # samples without a frame around them
_MAGIC = (b"RIFF", b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")


class OpenAiVoice:
    """``voice`` may hold ``{language}``, which becomes the code of the language that is to be spoken."""

    concurrent = 16

    def __init__(
        self,
        model: str,
        voice: str,
        base_url: str = "",
        timeout_s: float = 4.0,
        consent: bool = False,
        api_key: str = "",
        organization: str = "",
    ) -> None:
        self._server = OpenAiServer(
            base_url, api_key=api_key, organization=organization, timeout_s=timeout_s, consent=consent
        )
        self._model = model
        self._voice = voice
        self._measured: dict[str, list[Pcm]] = {}
        self._gains: dict[str, float] = {}

    def load(self) -> Capabilities:
        return Capabilities(
            kind="speak",
            name="openai",
            model=f"{self._model} {self._voice}",
            version="v1",
            licence=f"service of {self._server.name}",
            languages=LANGUAGES,
            off_machine=self._server.off_machine,
            concurrent=self.concurrent,
        )

    def close(self) -> None:
        self._server.close()

    def speak(self, request: SpeakRequest) -> Iterator[Speech]:
        """A piece a sentence; none when there is nothing to say."""
        if request.language not in LANGUAGES:
            raise EngineFailed(f"this voice does not speak {request.language!r}")
        if len(request.text) > LONGEST_TEXT:
            raise EngineFailed(f"the text is longer than {LONGEST_TEXT} characters")
        voice = self._voice.replace("{language}", request.language)
        texts = [text for text in sentences(speakable(request.text), LONGEST_SENTENCE) if speakable(text)]
        for number, text in enumerate(texts):
            sound = self._say(text, voice, request.speed)
            pcm = voicing.finish(
                sound,
                VOICE_RATE,
                gain=self._gain(voice, sound),
                first=number == 0,
                last=number + 1 == len(texts),
                pause_s=voicing.SENTENCE_PAUSE_S / request.speed,
            )
            if len(pcm):
                yield Speech(pcm, text, voice)

    def _say(self, text: str, voice: str, speed: float) -> Pcm:
        question: dict[str, object] = {
            "model": self._model, "input": text, "voice": voice, "response_format": "wav",
        }  # fmt: skip
        if speed != 1.0:
            question["speed"] = round(speed, 2)
        try:
            return self._ask(question)
        except Rejected:
            del question["response_format"]  # then it is MP3
        return self._ask(question)

    def _ask(self, question: dict[str, object]) -> Pcm:
        return self._server.post(
            "/audio/speech",
            json.dumps(question).encode("ascii"),
            {"Content-Type": "application/json", "Accept": "audio/wav, audio/*"},
            decode,
            sound=True,
        )

    def _gain(self, voice: str, sound: Pcm) -> float:
        """Told from the first speech of the voice; until there is enough of it, from what there is."""
        if (gain := self._gains.get(voice)) is not None:
            return gain
        heard = self._measured.setdefault(voice, [])
        heard.append(sound)
        whole = np.concatenate(heard)
        gain = voicing.gain_of(whole, VOICE_RATE) or 1.0
        if len(whole) >= MEASURED_S * VOICE_RATE:
            self._gains[voice] = gain
            del heard[:-1]
        return gain


def decode(answer: Answer) -> Pcm:
    """Mono at ``VOICE_RATE``. ``EngineFailed`` for what is no sound, or too much of it."""
    data = answer.body
    framed = data.startswith(_MAGIC) or data[4:8] == b"ftyp" or data.startswith(b"\x1aE\xdf\xa3")
    if not framed and answer.media_type not in _BARE:
        raise EngineFailed("the answer is not the sound that it says it is")
    if not framed:
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
        if not len(samples):
            raise EngineFailed("the answer holds no sound")
        return resample(samples[: int(MOST_S * PCM_RATE)], PCM_RATE, VOICE_RATE)
    try:
        return containers.decode(data, VOICE_RATE, MOST_S)
    except containers.NotSound as error:
        raise EngineFailed(f"the sound in the answer cannot be used: {error}") from None
