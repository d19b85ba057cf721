/** What WebRTC statistics say about the connection. Pure: two readings of `getStats()` in, figures out. */

/**
 * Counters of one reading, summed over the audio streams.
 *
 * @typedef {object} Reading
 * @property {number} atMs
 * @property {number | null} roundTripMs of the selected candidate pair
 * @property {number} packetsSent
 * @property {number} packetsLostOut as the server reports them
 * @property {number} packetsReceived
 * @property {number} packetsLostIn
 * @property {number} jitterMs of what comes in
 * @property {string} path `udp`, `tcp` or `relay`; empty while unknown
 */

/**
 * @param {Iterable<Record<string, any>>} report the values of an `RTCStatsReport`
 * @param {number} atMs
 * @returns {Reading}
 */
export function reading(report, atMs) {
  /** @type {Map<string, Record<string, any>>} */
  const byId = new Map();
  for (const entry of report) byId.set(entry.id, entry);
  /** @type {Reading} */
  const result = {
    atMs, roundTripMs: null, packetsSent: 0, packetsLostOut: 0, packetsReceived: 0, packetsLostIn: 0, jitterMs: 0, path: "",
  };
  for (const entry of byId.values()) {
    if (entry.type === "outbound-rtp" && entry.kind === "audio") result.packetsSent += entry.packetsSent ?? 0;
    if (entry.type === "remote-inbound-rtp" && entry.kind === "audio") result.packetsLostOut += entry.packetsLost ?? 0;
    if (entry.type === "inbound-rtp" && entry.kind === "audio") {
      result.packetsReceived += entry.packetsReceived ?? 0;
      result.packetsLostIn += entry.packetsLost ?? 0;
      result.jitterMs = Math.max(result.jitterMs, (entry.jitter ?? 0) * 1000);
    }
  }
  const pair = selectedPair(byId);
  if (pair?.currentRoundTripTime !== undefined) result.roundTripMs = pair.currentRoundTripTime * 1000;
  const local = pair && byId.get(pair.localCandidateId);
  if (local) result.path = local.candidateType === "relay" ? "relay" : local.protocol;
  return result;
}

/** @param {Map<string, Record<string, any>>} byId @returns {Record<string, any> | undefined} */
function selectedPair(byId) {
  const all = [...byId.values()];
  const transport = all.find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
  if (transport) return byId.get(transport.selectedCandidatePairId);
  // Firefox tells it of the pair itself.
  return all.find(({ type, selected }) => type === "candidate-pair" && selected);
}

/**
 * @param {Reading} before
 * @param {Reading} now
 * @returns {{lossOut: number | null, lossIn: number | null}} shares of the packets since `before`; null when none travelled
 */
export function loss(before, now) {
  const share = (/** @type {number} */ lost, /** @type {number} */ arrived) =>
    arrived + lost > 0 ? Math.min(1, Math.max(0, lost) / (arrived + Math.max(0, lost))) : null;
  const sent = now.packetsSent - before.packetsSent;
  const lostOut = Math.max(0, now.packetsLostOut - before.packetsLostOut);
  return {
    lossOut: sent > 0 ? Math.min(1, lostOut / sent) : null,
    lossIn: share(now.packetsLostIn - before.packetsLostIn, now.packetsReceived - before.packetsReceived),
  };
}

/**
 * One word for the connection, from the last seconds.
 *
 * @param {number | null} roundTripMs
 * @param {number | null} worstLoss share
 * @returns {"good" | "fair" | "poor"}
 */
export function quality(roundTripMs, worstLoss) {
  if ((roundTripMs ?? 0) > 500 || (worstLoss ?? 0) > 0.1) return "poor";
  if ((roundTripMs ?? 0) > 250 || (worstLoss ?? 0) > 0.03) return "fair";
  return "good";
}
