/** How loud the microphone is, for a meter: values from 0 (under -60 dBFS) to 1 (full scale), at the screen's pace. */

const FLOOR_DB = -60;
const FALL_PER_S = 1.6; // of the whole scale: rises at once, falls slowly enough to be seen

export class LevelMeter {
  /** @param {(level: number) => void} onLevel */
  constructor(onLevel) {
    this.onLevel = onLevel;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {MediaStreamAudioSourceNode | null} */
    this.source = null;
    this.frame = 0;
  }

  /** @param {MediaStream} stream */
  start(stream) {
    this.stop();
    this.context ??= new AudioContext();
    void this.context.resume();
    const analyser = new AnalyserNode(this.context, { fftSize: 1024 });
    this.source = new MediaStreamAudioSourceNode(this.context, { mediaStream: stream });
    this.source.connect(analyser); // and to nothing else: nobody hears it
    const samples = new Float32Array(analyser.fftSize);
    let level = 0;
    let before = performance.now();
    const measure = () => {
      analyser.getFloatTimeDomainData(samples);
      const now = performance.now();
      level = Math.max(loudness(samples), level - ((now - before) / 1000) * FALL_PER_S, 0);
      before = now;
      this.onLevel(level);
      this.frame = requestAnimationFrame(measure);
    };
    this.frame = requestAnimationFrame(measure);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.source?.disconnect();
    this.source = null;
    this.onLevel(0);
  }
}

/**
 * @param {Float32Array} samples
 * @returns {number} 0 to 1
 */
function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}
