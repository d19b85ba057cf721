"""From sound in pieces of any length to frames with their probability of speech, voice and silence, and a pre-roll."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from media_server.engines.base import RECOGNIZER_RATE, Pcm
from media_server.pipeline.detect import FRAME_MS, FRAME_SAMPLES, SpeechDetector, VoiceGate
from media_server.pipeline.jobs import HearSettings
from media_server.pipeline.window import Frame, Window, make_frame


class Ears:
    """``position`` counts the frames of the call, heard or skipped."""

    def __init__(self, settings: HearSettings, detector: SpeechDetector) -> None:
        self.gate = VoiceGate(settings.voice_on, settings.voice_off, settings.voice_on_frames)
        self.position = 0
        self._detector = detector
        self._on_frames = settings.voice_on_frames
        self._preroll: deque[Frame] = deque(maxlen=settings.preroll_ms // FRAME_MS + settings.voice_on_frames)
        self._pending = np.zeros(0, np.int16)

    def frames(self, pcm: Pcm) -> Iterator[Frame]:
        """The frames that this sound completes. The caller pushes each into the gate before it takes the next."""
        sound = np.concatenate((self._pending, pcm)) if len(self._pending) else pcm
        used = len(sound) - len(sound) % FRAME_SAMPLES
        self._pending = np.array(sound[used:], np.int16)
        for offset in range(0, used, FRAME_SAMPLES):
            piece = np.array(sound[offset : offset + FRAME_SAMPLES], np.int16)
            frame = make_frame(piece, self._detector.probability(piece))
            self._preroll.append(frame)
            self.position += 1
            yield frame

    def pass_time(self, milliseconds: int) -> None:
        """A gap: what comes after does not follow what was before."""
        total = len(self._pending) + milliseconds * RECOGNIZER_RATE // 1000
        self.position += total // FRAME_SAMPLES
        self.reset()
        self._pending = np.zeros(total % FRAME_SAMPLES, np.int16)

    def reset(self) -> None:
        """Forgets all sound."""
        self._detector.reset()
        self.gate.reset()
        self._preroll.clear()
        self._pending = np.zeros(0, np.int16)

    def beginning(self, free_from: int) -> tuple[int, Window]:
        """Voice has just begun: its first frame, and a window that starts before it, but not before ``free_from``."""
        free = max(self._on_frames, self.position - free_from)
        frames = list(self._preroll)[-free:]
        return self.position - self._on_frames, Window(self.position - len(frames), frames)
