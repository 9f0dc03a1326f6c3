// The bars that move with a voice.

import { SPECTRUM_SAMPLES, bands } from "../audio/spectrum.js";
import { h } from "./dom.js";

const COUNT = 14;
const FALL = 0.72; // how much is left of a bar from one frame to the next

export class VoiceBars {
  /**
   * @param {"you" | "model"} side
   * @param {string} label
   */
  constructor(side, label) {
    this._bars = Array.from({ length: COUNT }, () => h("span", {}));
    this._levels = new Float32Array(COUNT);
    this.element = h("div", { class: `bars bars-${side}`, role: "img", "aria-label": label }, ...this._bars);
    this.isStill = true;
  }

  /**
   * @param {Int16Array | null} samples  what was just heard; null or nothing is silence
   */
  draw(samples) {
    const now = samples === null || samples.length === 0 ? null : bands(samples, COUNT);
    this.isStill = true;
    for (const [index, bar] of this._bars.entries()) {
      const level = Math.max(now?.[index] ?? 0, this._levels[index] * FALL);
      if (level > 0.01) this.isStill = false;
      if (Math.abs(level - this._levels[index]) < 0.004 && level !== 0) continue;
      this._levels[index] = level < 0.01 ? 0 : level;
      bar.style.transform = `scaleY(${0.1 + 0.9 * this._levels[index]})`;
    }
    this.element.dataset.sounds = String(!this.isStill);
  }
}

/** How many samples the bars look at. */
export const BAR_SAMPLES = SPECTRUM_SAMPLES;
