// The Realtime Console: everything made, and tied together.

import { Listening } from "./audio/listening.js";
import { RATE, beside } from "./audio/pcm.js";
import { Files } from "./sources/files.js";
import { Inspector } from "./sources/inspector.js";
import { ALONE, embeddedJson, fetchSetup, takeToken } from "./sources/setup.js";
import { Desk } from "./state/desk.js";
import { Call } from "./talk/call.js";
import { Tools } from "./talk/tools.js";
import { ConfigView } from "./views/config_view.js";
import { ConversationView } from "./views/conversation_view.js";
import { DockView } from "./views/dock_view.js";
import { acceptFiles } from "./views/drop_zone.js";
import { EditorView } from "./views/editor_view.js";
import { FaultsView } from "./views/faults_view.js";
import { HeaderView } from "./views/header_view.js";
import { LatencyView } from "./views/latency_view.js";
import { LogView } from "./views/log_view.js";
import { Notice } from "./views/notice.js";
import { Pace } from "./views/pace.js";
import { drawProblem, drawStart } from "./views/start_view.js";
import { Tabs } from "./views/tabs.js";
import { TimelineView } from "./views/timeline_view.js";
import { ToolsView } from "./views/tools_view.js";
import { UsageView } from "./views/usage_view.js";
import { drawNav } from "./views/views_nav.js";
import { BAR_SAMPLES } from "./views/voice_bars.js";

/** @typedef {import("./sources/setup.js").Setup} Setup */
/** @typedef {import("./views/header_view.js").Standing} Standing */
/** @typedef {import("./wire/record.js").WireEvent} WireEvent */

const INSTRUCTIONS = "You are a friendly voice assistant. Keep your answers short.";
const QUIET = 0.15; // seconds after which a voice that says nothing more is silent

class Page {
  /**
   * @param {Setup} setup
   * @param {string} token
   */
  constructor(setup, token) {
    this._setup = setup;
    this._token = token;
    /** @type {Standing} */
    this._standing = { phase: "idle", words: setup.source === "live" ? "Not connected" : "" };
    this._pace = new Pace();
    this._isAttached = false; // whether a session elsewhere is going on
    this._mayAct = setup.may_act;
    this._offset = 0; // seconds of the page's clock at which an attached session began
    this._desk = new Desk({ prices: setup.prices, asked: setup.source === "recording" ? (setup.models[0] ?? "") : "" });
    this._desk.watch(() => this._pace.stir());
    this._tools = new Tools(() => this._toolsView.render());
    this._toolsView = new ToolsView(this._tools);
    /** The conversation that is going on, or was the last. @type {Call | null} */
    this._call = null;
    this._listening = new Listening();
    this._inspector = new Inspector({
      onState: (state) => this._state(state),
      onRecord: (told) => this._record(told),
      onMarks: (told) => this._call?.mark(told),
      onConnection: (number) => this._call?.connectionIs(number),
      onDropped: (count) => this._miss(count),
      onEnd: (end) => this._inspectorEnded(end),
    });
    this._files = this._makeFiles();
    this._header = this._makeHeader();
    this._timeline = this._makeTimeline();
    this._conversation = this._makeConversation();
    this._log = new LogView(part("log"), this._desk, {
      edit: (event) => this._edit(event),
      redraw: () => this._pace.hurry(),
      goTo: (moment) => this._timeline.goTo(moment),
    });
    this._dock = this._makeDock();
    this._notice = new Notice(part("notice"));
    this._latency = new LatencyView(this._desk);
    this._usage = new UsageView(this._desk);
    this._config = new ConfigView(this._desk);
    this._editor = new EditorView({
      check: (event) => this._check(event),
      send: (event, isChecked) => this._send(event, isChecked),
      mayAct: () => this._canSend,
    });
    this._tabs = this._makeTabs();
    this._showView = drawNav(part("views"), () => this._pace.hurry());
    document.body.dataset.source = setup.source;
    drawStart(this._conversation.start, setup, () => this._connect());
    window.addEventListener("keydown", (event) => this._key(event));
    this._setPace();
    this._pace.hurry();
  }

  // --- the parts of the page ----------------------------------------------------------------------

  _makeFiles() {
    return new Files(this._desk, this._inspector, this._setup, {
      clear: () => {
        this._call?.hangUp();
        this._call = null;
        this._listening.stop();
      },
      opened: (name) => {
        this._header.nameRecording(name);
        this._stand({ phase: "ended", words: "Recorded" });
        this._timeline.fit();
      },
      unjudged: (why) => this._stand({ phase: "ended", words: `Recorded · order not watched: ${why}` }),
      say: (words) => this._notice.say(words),
    });
  }

  _makeHeader() {
    const header = new HeaderView(part("header"), {
      connect: () => this._connect(),
      disconnect: () => this._call?.hangUp(),
      open: (file) => this.takeRecording(file),
      save: () => this._files.save(),
      copyScript: () => void this._files.copyScript(),
    });
    header.setUp(this._setup);
    return header;
  }

  _makeTimeline() {
    return new TimelineView(part("timeline"), this._desk, {
      now: () => this._now,
      isLive: () => this._isLive,
      listen: (moment) => this._listen(moment),
      stop: () => this._listening.stop(),
      isListening: () => this._listening.isOn,
      redraw: () => this._pace.hurry(),
    });
  }

  _makeConversation() {
    return new ConversationView(part("conversation"), this._desk, {
      remove: (id) => void this._send({ type: "conversation.item.delete", item_id: id }, true),
      approve: (request, approve) => this._approve(request, approve),
      decide: (call, approve) => void this._inspector.ask({ kind: "decide", call, approve, reason: null }),
      play: (samples, onEnd) => this._play(samples, onEnd),
      mayAct: () => this._canSend,
    });
  }

  _makeDock() {
    return new DockView(part("dock"), {
      startTalking: () => this._call?.startTalking(),
      stopTalking: () => this._call?.stopTalking(),
      mute: (isMuted) => this._call?.mute(isMuted),
      switchTo: (mode) => this._call?.switchTo(mode),
      say: (text, image) => this._call?.say(text, image),
      complain: (problem) => this._notice.say(problem),
    });
  }

  _makeTabs() {
    const { source, simulator } = this._setup;
    const faults = new FaultsView(async (fault) => (await this._inspector.ask({ kind: "fault", fault })).problem ?? null);
    const tabs = [
      { id: "latency", name: "Latency", element: this._latency.element },
      { id: "usage", name: "Usage", element: this._usage.element },
      { id: "config", name: "Session", element: this._config.element },
    ];
    if (source === "live") tabs.push({ id: "tools", name: "Tools", element: this._toolsView.element });
    if (source !== "recording") tabs.push({ id: "editor", name: "Send", element: this._editor.element });
    if (simulator) tabs.push({ id: "faults", name: "Faults", element: faults.element });
    return new Tabs(part("panels"), tabs, "Details");
  }

  /**
   * Say why nothing can be shown but what is dropped here.
   * @param {string} problem
   */
  explain(problem) {
    drawProblem(this._conversation.start, problem);
    this._stand({ phase: "failed", words: "No line to the program" });
  }

  /** Begin with what the setup says. */
  begin() {
    const messages = embeddedJson("messages");
    if (messages !== null) for (const message of messages) this._inspector.hear(message);
    else if (this._setup.inspect_url !== null) this._inspector.connect(this._setup.inspect_url, this._token);
  }

  // --- how things stand ---------------------------------------------------------------------------

  get _canTalk() {
    return this._call?.isOpen ?? false;
  }

  get _isFollowing() {
    return this._setup.source === "attached" && this._isAttached && !this._files.isShown;
  }

  get _isLive() {
    return this._canTalk || this._isFollowing;
  }

  get _canSend() {
    return this._mayAct && this._isLive;
  }

  get _now() {
    return this._setup.source === "live" ? (this._call?.now ?? 0) : performance.now() / 1000 - this._offset;
  }

  /** @param {Standing} standing */
  _stand(standing) {
    this._standing = standing;
    this._pace.hurry();
  }

  // --- the program that serves the page -----------------------------------------------------------

  /** @param {import("./sources/inspector.js").State} state */
  _state(state) {
    // A page that is a client does everything itself.
    if (this._setup.source === "live") return;
    this._mayAct = state.may_act;
    this._conversation.showApprovals(state.may_act ? state.approvals : []);
    this._isAttached = state.open;
    if (this._files.isShown) return;
    const order = state.order === "unwatched" && state.why !== null ? ` · order not watched: ${state.why}` : "";
    this._stand({ phase: state.open ? "open" : "ended", words: `${state.open ? "Following" : "Over"}${order}` });
  }

  /** @param {any} told */
  _record(told) {
    if (this._files.isShown) return;
    this._offset = performance.now() / 1000 - told.at;
    this._desk.take({ side: told.side, at: told.at, wall: told.wall, event: told.event, text: told.text ?? null, marks: told.marks ?? [] });
  }

  /** @param {number} count */
  _miss(count) {
    if (!this._files.isShown) this._desk.miss(count);
  }

  /** @param {{code: number | null, reason: string}} end */
  _inspectorEnded({ code, reason }) {
    if (this._setup.source === "live") {
      if (code !== null && code !== 1000 && !this._files.isShown) this._stand({ phase: "failed", words: `The console's program is gone: ${reason}` });
      return;
    }
    this._isAttached = false;
    if (this._files.isShown) return;
    this._stand({ phase: code === null || code === 1000 ? "ended" : "failed", words: code === null ? "Recorded" : `Over: ${code}${reason === "" ? "" : ` ${reason}`}` });
    this._timeline.fit();
  }

  // --- what one can do ----------------------------------------------------------------------------

  _connect() {
    if (this._setup.realtime_url === null || this._call?.isOver === false) return;
    this._files.leave();
    this._listening.stop();
    const wishes = {
      path: this._setup.realtime_url,
      token: this._token,
      model: this._header.model.value,
      voice: this._header.voice.value,
      mode: this._dock.mode,
      instructions: INSTRUCTIONS,
      greets: true,
    };
    this._header.nameSource(this._setup);
    this._dock.setMuted(false);
    this._call = new Call(this._desk, this._tools, wishes, {
      onStanding: (standing) => this._stand(standing),
      onProblem: (problem) => this._notice.say(problem),
    });
    void this._call.open();
  }

  /**
   * @param {WireEvent} event
   * @returns {Promise<string | null>} what is wrong with it
   */
  async _check(event) {
    if (this._inspector.isOpen) return (await this._inspector.ask({ kind: "check", event })).problem ?? null;
    return this._setup.client_events.includes(event.type) ? null : `${event.type} is not an event that a client sends.`;
  }

  /**
   * @param {WireEvent} event
   * @param {boolean} isChecked  whether nothing was wrong with it
   * @returns {Promise<string | null>} why it was not sent
   */
  async _send(event, isChecked) {
    if (this._canTalk) return this._call?.send(event) ? null : "It could not be sent.";
    return (await this._inspector.ask({ kind: "send", event, ...(isChecked ? {} : { unchecked: true }) })).problem ?? null;
  }

  /** @param {WireEvent} event */
  _edit(event) {
    this._editor.edit(event);
    this._tabs.select("editor");
    this._showView("panels");
  }

  /**
   * @param {string} request
   * @param {boolean} approve
   */
  _approve(request, approve) {
    if (this._canTalk) this._call?.decide(request, approve);
    else void this._send({ type: "conversation.item.create", item: { type: "mcp_approval_response", approval_request_id: request, approve } }, true);
  }

  // --- listening ----------------------------------------------------------------------------------

  /** @param {number} moment */
  _listen(moment) {
    const { you, model, end } = this._desk.timeline;
    const sound = (/** @type {number} */ from, /** @type {number} */ seconds) => beside(you.between(from, seconds), model.between(from, seconds));
    this._listening.start(sound, moment, end, { onMoment: (now) => this._desk.goTo(now), onEnd: () => this._pace.hurry() });
  }

  /**
   * @param {Int16Array} samples
   * @param {() => void} onEnd
   */
  _play(samples, onEnd) {
    const sound = (/** @type {number} */ from, /** @type {number} */ seconds) => {
      const piece = samples.subarray(Math.round(from * RATE), Math.round((from + seconds) * RATE));
      return /** @type {[Int16Array, Int16Array]} */ ([piece, piece]);
    };
    this._listening.start(sound, 0, samples.length / RATE, { onEnd });
    return () => this._listening.stop();
  }

  // --- files --------------------------------------------------------------------------------------

  /** @param {File} file  an image */
  takeImage(file) {
    if (this._canTalk) void this._dock.takeImage(file);
    else if (this._setup.source === "live") this._notice.say("Connect first: an image is part of what you say.");
    else this._notice.say("There is nobody here to send an image to: this page only shows a session.");
  }

  /** @param {File} file  a recording */
  takeRecording(file) {
    void this._files.open(file);
  }

  // --- keys ---------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  _key(event) {
    const isTyping = event.target instanceof Element && event.target.closest("input, textarea, select") !== null;
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      this._showView("log");
      this._log.focusSearch();
    } else if (event.key === "Escape" && this._listening.isOn) {
      this._listening.stop();
    }
  }

  // --- drawing ------------------------------------------------------------------------------------

  /** What is drawn, and how long each part rests, in milliseconds. */
  _setPace() {
    this._pace.add(30, () => this._renderBars());
    this._pace.add(40, () => this._timeline.render());
    this._pace.add(50, () => this._log.render());
    this._pace.add(80, () => this._conversation.render());
    this._pace.add(80, () => this._renderFrame());
    this._pace.add(250, () => {
      this._latency.render();
      this._usage.render();
      this._config.render();
    });
  }

  _renderFrame() {
    const hasRecords = this._desk.ring.size > 0;
    const leftOut = this._call?.leftOut ?? 0;
    const isSlow = this._canTalk && leftOut > 0;
    const words = isSlow ? `Connected, but the line is slow: ${leftOut} pieces of your voice were left out` : this._standing.words;
    this._header.draw({ ...this._standing, words }, hasRecords);
    this._dock.render(this._canTalk, this._call?.hearing ?? "none", this._desk.scene.captions);
    this._editor.render();
    document.body.dataset.phase = this._standing.phase;
  }

  /** The voices of the moment that is shown. */
  _renderBars() {
    const { timeline, moment } = this._desk;
    const isMoving = this._isLive || this._listening.isOn;
    const now = moment ?? this._now;
    for (const [bars, track] of /** @type {const} */ ([[this._dock.you, timeline.you], [this._dock.model, timeline.model]])) {
      const until = Math.min(now, track.end);
      const sounds = isMoving && now - until < QUIET;
      bars.draw(sounds ? track.between(until - BAR_SAMPLES / RATE, BAR_SAMPLES / RATE) : null);
    }
    if (isMoving || !this._dock.you.isStill || !this._dock.model.isStill) this._pace.stir();
  }
}

/** @param {string} id */
function part(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

async function makePage() {
  const token = takeToken();
  try {
    return new Page(await fetchSetup(token), token);
  } catch (error) {
    // It still shows the recordings that are dropped on it.
    const page = new Page(ALONE, token);
    page.explain(error instanceof Error ? error.message : String(error));
    return page;
  }
}

async function start() {
  const making = makePage();
  // From the first moment: the browser would leave the page for a file that nobody takes.
  acceptFiles({
    recording: (file) => void making.then((page) => page.takeRecording(file)),
    image: (file) => void making.then((page) => page.takeImage(file)),
  });
  (await making).begin();
}

void start();
