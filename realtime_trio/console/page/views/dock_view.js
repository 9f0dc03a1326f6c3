// Where one talks: the button, the modes, the text, the image, both voices, and the captions.

import { tail } from "../state/captions.js";
import { TURN_MODES } from "../talk/turn_detection.js";
import { ICONS, h, icon, setText, show } from "./dom.js";
import { VoiceBars } from "./voice_bars.js";

/** @typedef {import("../talk/turn_detection.js").TurnMode} TurnMode */
/** @typedef {import("../state/captions.js").Captions} Captions */
/** @typedef {import("../talk/call.js").Hearing} Hearing */

/**
 * @typedef {object} DockActs
 * @property {() => void} startTalking
 * @property {() => void} stopTalking
 * @property {(isMuted: boolean) => void} mute
 * @property {(mode: TurnMode) => void} switchTo
 * @property {(text: string, image: string | null) => void} say
 * @property {(problem: string) => void} complain
 */

/** What stands on the button while it cannot be pressed. */
const DISABLED = { closed: "Not connected", asked: "Allow microphone", none: "No microphone" };
const LARGEST_IMAGE = 1024; // pixels of the longer side: what a model sees, and no more

export class DockView {
  /**
   * @param {HTMLElement} root
   * @param {DockActs} acts
   */
  constructor(root, acts) {
    this._acts = acts;
    this._root = root;
    /** @type {TurnMode} */
    this.mode = "server_vad";
    this._isMuted = false;
    /** Why the button cannot be pressed. @type {keyof typeof DISABLED | null} */
    this._why = "closed";
    /** @type {string | null} */
    this._image = null;
    this._announced = "";
    this.you = new VoiceBars("you", "Your voice");
    this.model = new VoiceBars("model", "The assistant's voice");
    this._lines = h("div", { class: "caption-lines", "aria-hidden": "true" });
    this._spoken = h("p", { class: "sr", "aria-live": "polite" });
    this._modes = h("fieldset", { class: "modes" }, h("legend", { class: "sr" }, "How a turn ends"), ...TURN_MODES.map(({ mode, name, hint }) => this._modeElement(mode, name, hint)));
    this._talk = h("button", { type: "button", class: "talk", "aria-keyshortcuts": "Space" }, icon(ICONS.microphone), h("span", {}, "Hold to talk"));
    this._listenToTalk();
    this._text = h("input", { type: "text", placeholder: "Type a message", "aria-label": "Message", autocomplete: "off", maxlength: "20000" });
    this._file = h("input", { type: "file", accept: "image/png,image/jpeg", hidden: true, onchange: () => this._file.files?.[0] && void this.takeImage(this._file.files[0]) });
    this._preview = h("button", { type: "button", class: "preview", hidden: true, "aria-label": "Remove the image", onclick: () => this._dropImage() });
    this._form = h(
      "form",
      { class: "say", onsubmit: (/** @type {Event} */ event) => this._say(event) },
      this._preview,
      h("button", { type: "button", class: "toggle", "aria-label": "Add an image", title: "Add an image, or paste one", onclick: () => this._file.click() }, icon(ICONS.image)),
      this._file,
      this._text,
      h("button", { type: "submit", class: "toggle", "aria-label": "Send" }, icon(ICONS.send)),
    );
    root.append(
      h("div", { class: "captions" }, this._lines, this._spoken),
      h("div", { class: "dock-row" }, this.you.element, h("div", { class: "dock-middle" }, this._modes, this._talk, this._form), this.model.element),
    );
  }

  /**
   * @param {TurnMode} mode
   * @param {string} name
   * @param {string} hint
   */
  _modeElement(mode, name, hint) {
    const input = h("input", {
      type: "radio",
      name: "mode",
      value: mode,
      checked: mode === this.mode,
      onchange: () => {
        this.mode = mode;
        this._acts.switchTo(mode);
      },
    });
    return h("label", { title: hint }, input, h("span", {}, name));
  }

  // --- the button ---------------------------------------------------------------------------------

  _listenToTalk() {
    const button = this._talk;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this._press();
    });
    button.addEventListener("pointerup", () => this._letGo());
    button.addEventListener("pointercancel", () => this._letGo());
    // A press that lasts opens a menu on phones.
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    window.addEventListener("keydown", (event) => {
      if (event.code !== "Space" || !this._isFree(event)) return;
      event.preventDefault();
      if (!event.repeat) this._press();
    });
    window.addEventListener("keyup", (event) => {
      if (event.code !== "Space" || !this._isFree(event)) return;
      event.preventDefault(); // a button would be clicked
      this._letGo();
    });
    window.addEventListener("blur", () => this._letGo());
  }

  /**
   * Whether the space bar means talking, and nothing of what has the focus.
   * @param {KeyboardEvent} event
   */
  _isFree(event) {
    if (this._root.hidden || this._talk.disabled || event.ctrlKey || event.metaKey || event.altKey) return false;
    const target = event.target instanceof Element ? event.target : null;
    return target === this._talk || target?.closest("input, textarea, select, button, summary, a, canvas, [role=tree]") === null;
  }

  _press() {
    if (this.mode === "manual") {
      this._talk.classList.add("talking");
      this._acts.startTalking();
    } else {
      this._isMuted = !this._isMuted;
      this._acts.mute(this._isMuted);
    }
    this._drawTalk();
  }

  _letGo() {
    if (!this._talk.classList.contains("talking")) return;
    this._talk.classList.remove("talking");
    this._acts.stopTalking();
    this._drawTalk();
  }

  _drawTalk() {
    const isTalking = this._talk.classList.contains("talking");
    const isManual = this.mode === "manual";
    const words = this._why !== null ? DISABLED[this._why] : isManual ? (isTalking ? "Release to send" : "Hold to talk") : this._isMuted ? "Unmute" : "Listening";
    setText(/** @type {Element} */ (this._talk.lastElementChild), words);
    const name = this._why === "none" || (!isManual && this._isMuted) ? "muted" : "microphone";
    if (this._talk.dataset.icon !== name) {
      this._talk.dataset.icon = name;
      this._talk.firstElementChild?.replaceWith(icon(ICONS[name]));
    }
    this._talk.classList.toggle("open", this._why === null && !isManual && !this._isMuted);
    if (isManual || this._why !== null) this._talk.removeAttribute("aria-pressed");
    else this._talk.setAttribute("aria-pressed", String(this._isMuted));
  }

  // --- text and images ----------------------------------------------------------------------------

  /** @param {Event} event */
  _say(event) {
    event.preventDefault();
    const text = this._text.value.trim();
    if (text === "" && this._image === null) return;
    this._acts.say(text, this._image);
    this._text.value = "";
    this._dropImage();
  }

  /**
   * Keep an image for the next message.
   * @param {Blob} file
   */
  async takeImage(file) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      this._acts.complain(`${file instanceof File ? file.name : "This"} is not an image that can be shown.`);
      return;
    }
    const scale = Math.min(1, LARGEST_IMAGE / Math.max(bitmap.width, bitmap.height));
    const canvas = h("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    this._image = canvas.toDataURL(file.type === "image/png" ? "image/png" : "image/jpeg", 0.85);
    this._preview.replaceChildren(h("img", { src: this._image, alt: "Image to send" }));
    show(this._preview, true);
    this._text.focus();
  }

  _dropImage() {
    this._image = null;
    this._file.value = "";
    show(this._preview, false);
    this._preview.replaceChildren();
  }

  // --- drawing ------------------------------------------------------------------------------------

  /**
   * @param {boolean} isOpen  whether there is somebody to talk to
   * @param {Hearing} hearing
   * @param {Captions} captions
   */
  render(isOpen, hearing, captions) {
    this._why = !isOpen ? "closed" : hearing === "open" ? null : hearing;
    this._talk.disabled = this._why !== null;
    for (const element of this._form.elements) /** @type {HTMLInputElement} */ (element).disabled = !isOpen;
    if (this._talk.disabled) this._talk.classList.remove("talking");
    this._drawTalk();
    const shown = captions.lines.map(({ side, text }) => `${side} ${tail(text)}`).join("\n");
    if (this._lines.dataset.shown !== shown) {
      this._lines.dataset.shown = shown;
      this._lines.replaceChildren(...captions.lines.map(({ side, text }) => h("p", { class: `caption caption-${side}` }, tail(text))));
    }
    const { finished } = captions;
    const announced = finished === null ? "" : `${finished.side === "you" ? "You" : "Assistant"}: ${finished.text}`;
    if (announced !== this._announced) {
      this._announced = announced;
      setText(this._spoken, announced);
    }
  }

  /** @param {boolean} isMuted */
  setMuted(isMuted) {
    this._isMuted = isMuted;
    this._drawTalk();
  }
}
