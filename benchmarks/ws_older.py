"""What ``/ws-audio`` was served by before: FastAPI on uvicorn and uvloop, numpy, one frame after another.

Written for the comparison, from what the older server's documents say it does, the way such servers are written:
uvicorn's own choice of WebSocket library with its default settings, floats of -1 to 1, an array a frame.

    python -m benchmarks.ws_older --port 5001 [--core 0] [--rnnoise]
"""

from __future__ import annotations

import argparse
import json
import struct
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.rtc_load import pin
from benchmarks.rtc_server import _documented_rnnoise

THRESHOLD, ATTENUATION = 0.015, 0.2
HEADER = struct.Struct("<Id")


class Cleaner:
    """One client's denoiser: the library's Python function for a frame of 480 samples at 48 kHz, else the gate."""

    def __init__(self, rnnoise: Any) -> None:
        self._rnnoise = rnnoise
        self._state = rnnoise.create() if rnnoise is not None else None

    def __call__(self, frame: Any) -> Any:
        if self._rnnoise is not None:
            return self._rnnoise.process_mono_frame(self._state, frame)[0]
        samples = frame.astype(np.float32) / 32768.0
        rms = np.sqrt(np.mean(samples**2))
        if rms < THRESHOLD:
            samples = samples * ATTENUATION
        return (samples * 32768.0).astype(np.int16)


def make_app(rnnoise: Any) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws-audio")
    async def ws_audio(websocket: WebSocket) -> None:
        await websocket.accept()
        channels, frame_size = 1, 480
        clean = Cleaner(rnnoise)
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if (text := message.get("text")) is not None:
                    try:
                        config = json.loads(text)
                    except ValueError:
                        await websocket.send_json({"type": "error", "message": "invalid_json"})
                        continue
                    if config.get("type") == "config":
                        channels = int(config.get("channelCount", 1))
                        frame_size = int(config.get("frameSize", 480))
                        await websocket.send_json({"type": "ack"})
                    else:
                        await websocket.send_json({"type": "error", "message": "unknown_text_message"})
                    continue
                data = message.get("bytes")
                if data is None or len(data) < HEADER.size:
                    continue
                sequence, stamp = HEADER.unpack_from(data)
                pcm = np.frombuffer(data[HEADER.size :], dtype=np.int16)
                if channels > 1:
                    pcm = pcm.reshape(-1, channels).mean(axis=1).astype(np.int16)
                frames = [
                    clean(pcm[at : at + frame_size]) for at in range(0, len(pcm) - frame_size + 1, frame_size)
                ]
                out = np.concatenate(frames) if frames else np.empty(0, np.int16)
                await websocket.send_bytes(HEADER.pack(sequence, stamp) + out.tobytes())
        except WebSocketDisconnect:
            pass

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--core", type=int, default=-1)
    parser.add_argument("--rnnoise", action="store_true")
    arguments = parser.parse_args()
    if arguments.core >= 0:
        pin(arguments.core)
    rnnoise = _documented_rnnoise() if arguments.rnnoise else None
    uvicorn.run(make_app(rnnoise), host="127.0.0.1", port=arguments.port, loop="uvloop", log_level="warning")


if __name__ == "__main__":
    main()
