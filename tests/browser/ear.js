// What a test puts into the page: an ear at its loudspeaker.

(() => {
  /** @type {AnalyserNode[]} */
  const ears = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const ear = target.context.createAnalyser();
      ear.fftSize = 2048;
      ears.push(ear);
      connect.call(this, ear);
    }
    return connect.call(this, target, ...rest);
  };
  /** The loudest of the samples that were played last. */
  globalThis.loudness = () => {
    let loudest = 0;
    const samples = new Float32Array(2048);
    for (const ear of ears) {
      if (ear.context.state === "closed") continue;
      ear.getFloatTimeDomainData(samples);
      for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
    }
    return loudest;
  };
})();
