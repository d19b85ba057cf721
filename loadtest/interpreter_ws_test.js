// The live interpreter on /ws/audio: sends recorded speech in real time, and checks that a partial, a final with its
// translation, and speech come back. Every second caller speaks the JSON dialect, the others the browsers' one.
//
//     k6 run loadtest/interpreter_ws_test.js
//
// WS_URL    ws://localhost:5000/ws/audio
// SPEAKERS  2 callers at a time
// TARGET    es: the language that is heard; the recording is English
// FINAL_MS  8000: the bar of the 95th percentile from the end of the speech to the last final
// TOKEN     a key, where the server needs one

import encoding from 'k6/encoding';
import exec from 'k6/execution';
import { check } from 'k6';
import { Rate, Trend } from 'k6/metrics';
import ws from 'k6/ws';

const URL = __ENV.WS_URL || 'ws://localhost:5000/ws/audio';
const SPEAKERS = Number(__ENV.SPEAKERS || 2);
const TARGET = __ENV.TARGET || 'es';
const FINAL_MS = Number(__ENV.FINAL_MS || 8000);

const SILENCE_MS = 4000; // sent after the recording: a speaker who has finished is silent, not gone
const PATIENCE_MS = 30000; // for what is still missing after that
const DIALECTS = {
  browser: { chunkMs: 20 },
  json: { chunkMs: 400 },
};

const firstPartial = new Trend('interpreter_first_partial', true); // since the first sound
const lastFinal = new Trend('interpreter_final_after_speech', true); // since the end of the recording
const speechBack = new Trend('interpreter_speech_after_first_final', true);
const errors = new Rate('interpreter_errors');

export const options = {
  scenarios: {
    callers: { executor: 'per-vu-iterations', vus: SPEAKERS, iterations: 1, maxDuration: '3m' },
  },
  summaryTrendStats: ['min', 'med', 'avg', 'p(90)', 'p(95)', 'max'],
  thresholds: {
    checks: ['rate==1'],
    interpreter_errors: ['rate==0'],
    interpreter_final_after_speech: [`p(95)<${FINAL_MS}`],
  },
};

// The samples of a WAV file and their rate: 16 bits, one channel.
function readWav(buffer) {
  const view = new DataView(buffer);
  const name = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  let rate = 0;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === 'fmt ') {
      if (view.getUint16(at + 10, true) !== 1 || view.getUint16(at + 22, true) !== 16) {
        throw new Error('the recording should be PCM16 with one channel');
      }
      rate = view.getUint32(at + 12, true);
    } else if (name(at) === 'data') {
      return { rate, pcm: buffer.slice(at + 8, at + 8 + size) };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error('the recording is no WAV file');
}

const RECORDING = readWav(open('../tests/data/jfk.wav', 'b'));

// What is sent: pieces of `chunkMs` of the recording, then silence.
function pieces(chunkMs) {
  const size = Math.round((RECORDING.rate * chunkMs) / 1000) * 2;
  const made = [];
  for (let at = 0; at + size <= RECORDING.pcm.byteLength; at += size) {
    made.push(RECORDING.pcm.slice(at, at + size));
  }
  const spoken = made.length;
  for (let ms = 0; ms < SILENCE_MS; ms += chunkMs) made.push(new ArrayBuffer(size));
  return { made, spoken };
}

// MPEG audio begins with an ID3 tag or with eleven set bits (ISO/IEC 11172-3, 2.4.1.3).
function isMp3(buffer) {
  const head = new Uint8Array(buffer, 0, Math.min(3, buffer.byteLength));
  return (head[0] === 0x49 && head[1] === 0x44 && head[2] === 0x33) || (head[0] === 0xff && head[1] >= 0xe0);
}

export default function () {
  const dialect = exec.vu.idInTest % 2 === 0 ? 'json' : 'browser';
  const { chunkMs } = DIALECTS[dialect];
  const { made, spoken } = pieces(chunkMs);
  const rate = RECORDING.rate;
  const roomId = `loadtest-${exec.vu.idInTest}-${Date.now()}`; // nobody else in it
  const address = __ENV.TOKEN ? `${URL}?token=${encodeURIComponent(__ENV.TOKEN)}` : URL;
  const seen = { acks: 0, pongs: 0, partials: 0, finals: 0, translated: 0, clips: 0, badClips: 0, problems: 0 };
  let started = 0;
  let spokeUntil = 0;
  let firstFinalAt = 0;
  let finalAt = 0;
  let sent = 0;

  function sendDue(socket) {
    if (started === 0) return;
    for (const due = Math.floor((Date.now() - started) / chunkMs); sent < due && sent < made.length; sent += 1) {
      send(socket, made[sent]);
      if (sent === spoken - 1) spokeUntil = Date.now();
    }
    const complete = finalAt > 0 && seen.clips > 0;
    const overdue = Date.now() - spokeUntil > SILENCE_MS + PATIENCE_MS;
    if (sent === made.length && (complete || overdue)) socket.close();
  }

  function send(socket, pcm) {
    if (dialect === 'browser') {
      socket.sendBinary(pcm);
      return;
    }
    socket.send(
      JSON.stringify({
        type: 'audio_chunk',
        seq: sent,
        ts_ms: Date.now(),
        sample_rate: rate,
        channels: 1,
        audio_format: 'PCM16_LE',
        chunk_ms: chunkMs,
        audio_b64: encoding.b64encode(pcm),
      }),
    );
  }

  function clip(mp3) {
    if (seen.clips === 0 && firstFinalAt > 0) speechBack.add(Date.now() - firstFinalAt);
    seen.clips += 1;
    seen.badClips += isMp3(mp3) ? 0 : 1;
  }

  function greet(socket) {
    const shared = { roomId, sourceLang: 'en', targetLang: TARGET, consent: true };
    const first =
      dialect === 'browser'
        ? { type: 'config', sampleRate: rate, frameSize: (rate * chunkMs) / 1000 }
        : { type: 'start', sample_rate: rate, channels: 1, chunk_ms: chunkMs, audio_format: 'PCM16_LE' };
    socket.send(JSON.stringify({ ...first, ...shared }));
    socket.send(JSON.stringify({ type: 'heartbeat', ts_ms: 42 }));
    socket.setInterval(() => sendDue(socket), chunkMs);
  }

  function read(text) {
    const message = JSON.parse(text);
    switch (message.type) {
      case 'ack':
        seen.acks += 1;
        started = started || Date.now();
        break;
      case 'pong':
        seen.pongs += message.ts_ms === 42 ? 1 : 0;
        break;
      case 'partial':
        if (seen.partials === 0) firstPartial.add(Date.now() - started);
        seen.partials += 1;
        break;
      case 'final':
        finalAt = Date.now();
        firstFinalAt = firstFinalAt || finalAt;
        seen.finals += message.text ? 1 : 0;
        seen.translated += message.translation && message.target_lang === TARGET ? 1 : 0;
        break;
      case 'tts_audio':
        if (dialect === 'json' && message.mime === 'audio/mpeg') clip(encoding.b64decode(message.audio_b64));
        else problem('speech in another dialect');
        break;
      case 'error':
      case 'warning':
        problem(text);
        break;
      default: // an older client knows no others and goes on
    }
  }

  function problem(words) {
    seen.problems += 1;
    console.error(`caller ${exec.vu.idInTest} (${dialect}): ${words}`);
  }

  ws.connect(address, {}, (socket) => {
    socket.on('open', () => greet(socket));
    socket.on('message', read);
    socket.on('binaryMessage', (data) => (dialect === 'browser' ? clip(data) : problem('a binary message')));
    socket.on('error', (event) => problem(event.error()));
  });

  if (finalAt > spokeUntil && spokeUntil > 0) lastFinal.add(finalAt - spokeUntil);
  errors.add(seen.problems > 0 || sent < made.length);
  const heard = {
    ack: () => seen.acks > 0,
    pong: () => seen.pongs === 1,
    partial: () => seen.partials > 0,
    final: () => seen.finals > 0,
    translation: () => seen.translated > 0,
    'speech back as MP3': () => seen.clips > 0 && seen.badClips === 0,
  };
  check(null, Object.fromEntries(Object.entries(heard).map(([what, test]) => [`${dialect}: ${what}`, test])));
}
