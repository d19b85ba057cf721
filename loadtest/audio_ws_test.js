// Denoise and echo, for latency checks: sends a config, then one frame of 10 ms every 10 ms, to /ws-audio.
//
//     k6 run loadtest/audio_ws_test.js
//
// WS_URL    ws://localhost:5000/ws-audio
// USERS     50 callers at a time
// SECONDS   60 of sending, each
// RTT_MS    50: the bar of the 95th percentile of the round trip
// TOKEN     a key, where the server needs one
//
// The round trip is what has passed since the milliseconds in the header that comes back (uint32 sequence, float64
// milliseconds, little-endian, packed). Half of what is sent is speech-like sound, half is silence.

import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import ws from 'k6/ws';

const URL = __ENV.WS_URL || 'ws://localhost:5000/ws-audio';
const USERS = Number(__ENV.USERS || 50);
const SECONDS = Number(__ENV.SECONDS || 60);
const RTT_MS = Number(__ENV.RTT_MS || 50);

const RATE = 48000;
const FRAME = 480; // samples: 10 ms
const FRAME_MS = 10;
const HEADER = 12; // bytes
const LAST_ANSWERS_MS = 2000; // how long the last answers are waited for

const roundTrip = new Trend('ws_audio_rtt', true);
const lost = new Rate('ws_audio_loss');
const errors = new Rate('ws_audio_errors');
const late = new Rate('ws_audio_sent_late'); // the load itself could not keep its pace: not the server's doing
const sentFrames = new Counter('ws_audio_frames_sent');
const returnedFrames = new Counter('ws_audio_frames_returned');

export const options = {
  scenarios: {
    callers: { executor: 'per-vu-iterations', vus: USERS, iterations: 1, maxDuration: `${SECONDS + 30}s` },
  },
  summaryTrendStats: ['min', 'med', 'avg', 'p(90)', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    ws_audio_rtt: [`p(95)<${RTT_MS}`],
    ws_audio_loss: ['rate<0.01'],
    ws_audio_errors: ['rate<0.01'],
    checks: ['rate==1'],
  },
};

// Two sounds of 10 ms that differ from silence; sequence and time are written over the head of a copy.
function tone(n) {
  const message = new ArrayBuffer(HEADER + FRAME * 2);
  const samples = new DataView(message, HEADER);
  for (let at = 0; at < FRAME; at += 1) {
    const wave = Math.sin((2 * Math.PI * 200 * (at + n * FRAME)) / RATE) + 0.3 * Math.random();
    samples.setInt16(at * 2, Math.round(6000 * wave), true);
  }
  return message;
}

const SPEECH = [tone(0), tone(1)];
const SILENCE = new ArrayBuffer(HEADER + FRAME * 2);

export default function () {
  const address = __ENV.TOKEN ? `${URL}?token=${encodeURIComponent(__ENV.TOKEN)}` : URL;
  const answered = new Set();
  let started = 0; // when the config was acknowledged
  let sequence = 0; // of the next frame
  let last = -1; // of the last answer
  let outOfOrder = 0;
  let wrong = 0;
  let finished = false;

  function sendDue(socket) {
    if (started === 0 || finished) return;
    const passed = Date.now() - started;
    if (passed >= SECONDS * 1000) {
      finished = true;
      socket.setTimeout(() => socket.close(), LAST_ANSWERS_MS);
      return;
    }
    for (const due = Math.floor(passed / FRAME_MS); sequence < due; sequence += 1) {
      // Two seconds of sound, two of silence; every caller begins elsewhere.
      const talking = Math.floor(sequence / 200 + exec.vu.idInTest) % 2 === 0;
      const message = talking ? SPEECH[sequence % 2] : SILENCE;
      const header = new DataView(message);
      header.setUint32(0, sequence, true);
      header.setFloat64(4, Date.now(), true);
      socket.sendBinary(message);
      late.add(sequence < due - 2);
    }
  }

  function hear(data) {
    const header = new DataView(data);
    const number = header.getUint32(0, true);
    roundTrip.add(Date.now() - header.getFloat64(4, true));
    if (data.byteLength !== HEADER + FRAME * 2) wrong += 1;
    if (number <= last) outOfOrder += 1;
    last = number;
    answered.add(number);
  }

  const problem = (words) => {
    wrong += 1;
    console.error(`caller ${exec.vu.idInTest}: ${words}`);
  };

  ws.connect(address, {}, (socket) => {
    socket.on('open', () => {
      const config = { type: 'config', sampleRate: RATE, channelCount: 1, frameSize: FRAME, format: 's16le' };
      socket.send(JSON.stringify(config));
      socket.setInterval(() => sendDue(socket), FRAME_MS);
    });
    socket.on('message', (text) => {
      const { type } = JSON.parse(text);
      if (type === 'ack') started = started || Date.now();
      else if (type === 'error') problem(text);
    });
    socket.on('binaryMessage', hear);
    socket.on('error', (event) => problem(event.error()));
  });

  sentFrames.add(sequence);
  returnedFrames.add(answered.size);
  for (let n = 0; n < sequence; n += 1) lost.add(!answered.has(n));
  errors.add(wrong > 0 || !finished);
  check(null, {
    'the config is acknowledged': () => started > 0,
    'the connection lasts to the end': () => finished,
    'answers keep their order': () => outOfOrder === 0,
    'answers have the size of what was sent, and no errors come': () => wrong === 0,
  });
}
