// Put into the page before its own code: keeps what goes over its peer connection, and when.
// Times are milliseconds since the Unix epoch. `spoken` are moments at which the microphone's sound was loud.
{
  window.heard = { packets: [], messages: [], spoken: [] };
  const epoch = performance.timeOrigin;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super({ ...configuration, encodedInsertableStreams: true });
      this.addEventListener("track", ({ receiver, transceiver }) => {
        // Frames come here as they arrive, before the jitter buffer.
        const incoming = receiver.createEncodedStreams();
        const copy = new TransformStream({
          transform(frame, controller) {
            const { rtpTimestamp, receiveTime } = frame.getMetadata();
            const payload = btoa(String.fromCharCode(...new Uint8Array(frame.data)));
            window.heard.packets.push([rtpTimestamp, epoch + receiveTime, payload]);
            controller.enqueue(frame);
          },
        });
        incoming.readable.pipeThrough(copy).pipeTo(incoming.writable);
        const outgoing = transceiver.sender.createEncodedStreams();
        outgoing.readable.pipeTo(outgoing.writable);
      });
    }

    createDataChannel(...all) {
      const channel = super.createDataChannel(...all);
      channel.addEventListener("message", ({ data }) => {
        if (!data.startsWith("pong")) window.heard.messages.push([epoch + performance.now(), JSON.parse(data)]);
      });
      return channel;
    }
  };

  const devices = navigator.mediaDevices;
  const ask = devices?.getUserMedia.bind(devices);
  if (ask) {
    devices.getUserMedia = async (wanted) => {
      const stream = await ask(wanted);
      const context = new AudioContext();
      const analyser = new AnalyserNode(context, { fftSize: 1024 });
      new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
        if (power > 1e-4) window.heard.spoken.push(epoch + performance.now()); // louder than -40 dBFS
      }, 20);
      return stream;
    };
  }
}
