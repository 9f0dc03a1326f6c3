// The conversation: one card for each item, changed in place as it grows.

import { RATE, joined } from "../audio/pcm.js";
import { ICONS, h, icon, setText, show } from "./dom.js";
import { duration } from "./time.js";

/** @typedef {import("../state/conversation.js").Item} Item */
/** @typedef {import("../state/desk.js").Desk} Desk */
/** @typedef {import("../sources/inspector.js").Approval} Approval */

/**
 * @typedef {object} ConversationActs
 * @property {(id: string) => void} remove
 * @property {(request: string, approve: boolean) => void} approve  a request in the conversation
 * @property {(call: string, approve: boolean) => void} decide  a call that waits in the program
 * @property {(samples: Int16Array, onEnd: () => void) => () => void} play  returns how to stop it
 * @property {() => boolean} mayAct
 */

/** An image in the text itself: those of other servers are not loaded. */
const IMAGE = /^data:image\/(png|jpe?g|gif|webp);base64,/;
const AT_END = 40; // pixels from the end that still count as the end

export class ConversationView {
  /**
   * @param {HTMLElement} root
   * @param {Desk} desk
   * @param {ConversationActs} acts
   */
  constructor(root, desk, acts) {
    this._desk = desk;
    this._acts = acts;
    /** @type {Map<string, Card>} */
    this._cards = new Map();
    this._drawn = "";
    this._follows = true;
    this.start = h("div", { class: "start" });
    this._list = h("ol", { class: "items" });
    this._approvals = h("div", { class: "approvals" });
    this._scroller = h("div", { class: "conversation-scroller", tabindex: "0", "aria-label": "What was said" }, this.start, this._list, this._approvals);
    this._top = 0;
    this._scroller.addEventListener("scroll", () => this._scrolled(), { passive: true });
    // Items get their height when they are laid out, which is after they were drawn.  To scroll any
    // earlier would lay them out twice.
    const follow = new ResizeObserver(() => this._follow());
    for (const element of [this._list, this._approvals, this._scroller]) follow.observe(element);
    root.append(h("div", { class: "section-head" }, h("h2", {}, "Conversation")), this._scroller);
  }

  /** Stay at the end, unless somebody has scrolled up. */
  _scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this._scroller;
    if (scrollHeight - scrollTop - clientHeight < AT_END) this._follows = true;
    else if (scrollTop < this._top) this._follows = false;
    this._top = scrollTop;
  }

  _follow() {
    // As far down as it goes; to ask how far that is would lay out everything at once.
    if (this._follows) this._scroller.scrollTop = 1e9;
  }

  render() {
    const { conversation } = this._desk.scene;
    const mayAct = this._acts.mayAct() && this._desk.moment === null;
    const drawn = `${this._desk.session} ${this._desk.moment} ${conversation.version} ${mayAct}`;
    show(this.start, conversation.items.length === 0 && this._desk.ring.size === 0);
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    /** @type {Element | null} */
    let before = null;
    const left = new Set(this._cards.keys());
    for (const item of conversation.items) {
      if (isShownElsewhere(item, conversation)) continue;
      left.delete(item.id);
      let card = this._cards.get(item.id);
      if (card === undefined) {
        card = new Card(item.id, this._acts);
        this._cards.set(item.id, card);
      }
      card.draw(item, mayAct);
      /** @type {Element | null} */
      const place = before === null ? this._list.firstElementChild : before.nextElementSibling;
      if (place !== card.element) this._list.insertBefore(card.element, place);
      before = card.element;
    }
    for (const id of left) {
      this._cards.get(id)?.element.remove();
      this._cards.delete(id);
    }
  }

  /**
   * Calls that wait for a yes or no in the program that the page looks at.
   * @param {Approval[]} approvals
   */
  showApprovals(approvals) {
    this._approvals.replaceChildren(
      ...approvals.map(({ call, name, arguments: words, server_label: label }) =>
        h(
          "div",
          { class: "approval", role: "group", "aria-label": `Approval of ${name}` },
          h("p", {}, h("strong", {}, name), label === null ? " waits for a yes or no." : ` on ${label} waits for a yes or no.`),
          h("code", {}, words),
          decision(true, () => this._acts.decide(call, true)),
          decision(false, () => this._acts.decide(call, false)),
        ),
      ),
    );
  }
}

/** The card of one item. */
class Card {
  /**
   * @param {string} id
   * @param {ConversationActs} acts
   */
  constructor(id, acts) {
    this._acts = acts;
    this._drawn = "";
    /** Stops what is playing. @type {(() => void) | null} */
    this._stop = null;
    /** @type {Int16Array[]} */
    this._audio = [];
    this._who = h("span", { class: "who" });
    this._status = h("span", { class: "status" });
    this._play = h("button", { class: "play", type: "button", onclick: () => this._togglePlay() }, icon(ICONS.play), h("span", {}));
    this._remove = h(
      "button",
      { class: "remove", type: "button", "aria-label": "Delete this item", title: "Delete", onclick: () => acts.remove(id) },
      icon(ICONS.remove),
    );
    this._body = h("div", { class: "item-body" });
    this.element = h(
      "li",
      { class: "item", "data-item": id },
      h("div", { class: "item-head" }, this._who, this._status, this._play, this._remove),
      this._body,
    );
  }

  /**
   * @param {Item} item
   * @param {boolean} mayAct
   */
  draw(item, mayAct) {
    const drawn = `${item.version} ${mayAct}`;
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    this._audio = item.audio;
    this.element.className = `item item-${sideOf(item)}`;
    setText(this._who, nameOf(item));
    setText(this._status, statusOf(item));
    show(this._play, item.samples > 0);
    if (this._stop === null) this._label(item.samples);
    show(this._remove, mayAct);
    if (item.type === "message") this._drawWords(item);
    else this._body.replaceChildren(...partsOf(item, mayAct, this._acts));
  }

  /** @param {Item} item */
  _drawWords(item) {
    let words = this._body.querySelector(".words");
    if (words === null) {
      words = h("p", { class: "words" });
      this._body.prepend(words);
    }
    const said = item.texts.filter(Boolean).join("\n");
    const heard = heardOf(item, said);
    if (heard.length === said.length) setText(words, said || placeholderOf(item));
    else words.replaceChildren(heard, h("s", { title: "Not heard" }, said.slice(heard.length)));
    words.classList.toggle("words-none", item.texts.every((text) => !text));
    const images = this._body.querySelectorAll("img, .note");
    for (const source of item.images.slice(images.length)) {
      this._body.append(IMAGE.test(source) ? h("img", { src: source, alt: "Image that was sent" }) : h("p", { class: "note" }, "(an image that is elsewhere)"));
    }
  }

  _togglePlay() {
    if (this._stop !== null) {
      this._stop();
      this._stopped();
      return;
    }
    const samples = joined(this._audio);
    this._stop = this._acts.play(samples, () => this._stopped());
    this._play.replaceChildren(icon(ICONS.stop), h("span", {}, duration(samples.length / RATE)));
    this._play.setAttribute("aria-label", "Stop");
  }

  _stopped() {
    this._stop = null;
    this._play.replaceChildren(icon(ICONS.play), h("span", {}));
    this._label(this._audio.reduce((sum, piece) => sum + piece.length, 0));
  }

  /** @param {number} samples */
  _label(samples) {
    const length = duration(samples / RATE);
    setText(/** @type {Element} */ (this._play.lastElementChild), length);
    this._play.setAttribute("aria-label", `Play ${length} of audio`);
  }
}

/**
 * The words that were heard before an interruption, as far as the length of the audio tells.
 * @param {Item} item
 * @param {string} said
 */
function heardOf(item, said) {
  if (item.truncatedAt === null || item.received === 0) return said;
  const length = Math.round((said.length * item.truncatedAt * RATE) / item.received);
  const end = said.indexOf(" ", length);
  return length >= said.length || end === -1 ? said : said.slice(0, length === 0 ? 0 : end);
}

/**
 * An output that is shown with its call.
 * @param {Item} item
 * @param {import("../state/conversation.js").Conversation} conversation
 */
function isShownElsewhere(item, conversation) {
  return (
    item.type === "function_call_output" &&
    conversation.items.some(({ type, callId }) => type === "function_call" && callId === item.callId)
  );
}

/** @param {Item} item */
function sideOf(item) {
  if (item.type !== "message") return "tool";
  return item.role === "user" ? "you" : item.role === "assistant" ? "model" : "system";
}

/** @param {Item} item */
function nameOf(item) {
  switch (item.type) {
    case "message":
      return { user: "You", assistant: "Assistant", system: "System" }[item.role] ?? item.role;
    case "function_call":
      return item.name;
    case "function_call_output":
      return "Output";
    case "mcp_list_tools":
      return `${item.label}: tools`;
    case "mcp_call":
    case "mcp_approval_request":
      return `${item.label} · ${item.name}`;
    default:
      return item.type.replaceAll("_", " ");
  }
}

/** @param {Item} item */
function statusOf(item) {
  if (item.truncatedAt !== null) return `interrupted, ${duration(item.truncatedAt)} heard`;
  if (item.problem !== null) return "failed";
  if (item.status === "incomplete") return "incomplete";
  if (item.status === "failed") return "failed";
  if (item.type === "message") return item.role === "assistant" && item.status === "in_progress" ? "speaking" : "";
  if (item.type === "function_call" && item.output === null) return item.status === "in_progress" ? "writing" : "running";
  if (item.type === "mcp_approval_request") return item.approved === null ? "waits for you" : item.approved ? "approved" : "denied";
  if (item.status === "in_progress") return "running";
  return "";
}

/** @param {Item} item */
function placeholderOf(item) {
  if (item.problem !== null) return item.problem;
  if (item.truncatedAt === 0) return "(not heard)";
  if (item.isAwaiting) return "(awaiting transcript)";
  if (item.images.length > 0) return "";
  if (item.role === "user" && item.samples > 0) return "(audio without transcript)";
  return item.status === "in_progress" ? "…" : "(nothing)";
}

/**
 * What a card that is not a message says.
 * @param {Item} item
 * @param {boolean} mayAct
 * @param {ConversationActs} acts
 * @returns {HTMLElement[]}
 */
function partsOf(item, mayAct, acts) {
  /** @type {HTMLElement[]} */
  const parts = [];
  if (item.arguments !== "") parts.push(valuesElement(item.arguments, "call"));
  if (item.output !== null) parts.push(valuesElement(item.output, "call output"));
  if (item.problem !== null) parts.push(h("p", { class: "problem" }, item.problem));
  if (item.tools.length > 0) parts.push(h("p", { class: "tool-names" }, item.tools.join(", ")));
  if (item.type === "mcp_approval_request" && item.approved === null && mayAct) {
    parts.push(h("div", { class: "decision" }, decision(true, () => acts.approve(item.id, true)), decision(false, () => acts.approve(item.id, false))));
  }
  return parts;
}

/**
 * @param {boolean} approve
 * @param {() => void} onclick
 */
function decision(approve, onclick) {
  return h("button", { type: "button", class: approve ? "primary small" : "small", onclick }, approve ? "Approve" : "Deny");
}

/**
 * What a tool is given, or gives: a list of values where it is one, and else as it is.
 * @param {string} text  JSON, if all is well
 * @param {string} className
 */
function valuesElement(text, className) {
  const value = parsed(text);
  if (typeof value === "string") return h("pre", { class: className }, value);
  if (!isFlat(value)) return h("pre", { class: className }, JSON.stringify(value, null, 2));
  const rows = Object.entries(value).flatMap(([name, each]) => [h("dt", {}, name), h("dd", {}, typeof each === "string" ? each : JSON.stringify(each))]);
  return h("dl", { class: `${className} values` }, ...rows);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * Whether it is an object of single values.
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isFlat(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const values = Object.values(value);
  return values.length > 0 && values.every((each) => typeof each !== "object" || each === null);
}
