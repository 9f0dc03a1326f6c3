// The two tools that the page offers to the model: a memory, and a map.
//
// They run in the page, and what they do is seen in its panels.  A name on the map is looked up in a
// small list, so that it works without a network.

import { findPlace } from "./places.js";

/** @typedef {{name: string, latitude: number, longitude: number}} Place */

/** As the session is told about them. */
export const TOOL_DEFINITIONS = [
  {
    type: "function",
    name: "set_memory",
    description: "Remember something about the user: save a key with its value",
    parameters: {
      type: "object",
      properties: {
        key: { type: "string", description: "What it is about, in snake_case" },
        value: { type: "string", description: "What to remember" },
      },
      required: ["key", "value"],
    },
  },
  {
    type: "function",
    name: "show_place",
    description: "Show a place on the map",
    parameters: {
      type: "object",
      properties: {
        place: { type: "string", description: "Name of the place" },
        latitude: { type: "number", description: "Degrees north, if you know them" },
        longitude: { type: "number", description: "Degrees east, if you know them" },
      },
      required: ["place"],
    },
  },
];

const MOST_MEMORIES = 200;

export class Tools {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this._onChange = onChange;
    /** @type {Map<string, string>} */
    this.memory = new Map();
    /** @type {Place | null} */
    this.place = null;
  }

  clear() {
    this.memory.clear();
    this.place = null;
    this._onChange();
  }

  /**
   * Run a tool.  What goes wrong is told to the model, which can do something about it.
   * @param {string} name
   * @param {string} text  the arguments as the model wrote them
   * @returns {string} the output, as JSON
   */
  call(name, text) {
    try {
      const values = JSON.parse(text === "" ? "{}" : text);
      const output = this._run(name, values);
      this._onChange();
      return JSON.stringify(output);
    } catch (error) {
      return JSON.stringify({ error: error instanceof Error ? error.message : String(error) });
    }
  }

  /**
   * @param {string} name
   * @param {any} values
   */
  _run(name, values) {
    switch (name) {
      case "set_memory":
        if (typeof values.key !== "string") throw new TypeError("key must be a string");
        if (!this.memory.has(values.key) && this.memory.size >= MOST_MEMORIES) throw new RangeError("the memory is full");
        this.memory.set(values.key, String(values.value));
        return { ok: true };
      case "show_place": {
        const place = placeOf(values);
        this.place = place;
        return { shown: place.name, latitude: place.latitude, longitude: place.longitude };
      }
      default:
        throw new Error(`there is no tool ${name} here`);
    }
  }
}

/**
 * @param {any} values
 * @returns {Place}
 */
function placeOf(values) {
  const name = String(values.place ?? "");
  const { latitude, longitude } = values;
  if (typeof latitude === "number" && typeof longitude === "number") {
    if (Math.abs(latitude) > 90 || Math.abs(longitude) > 180) throw new RangeError("these are not coordinates on Earth");
    return { name, latitude, longitude };
  }
  const found = findPlace(name);
  if (found === undefined) throw new Error(`${name || "this place"} is not on the map: give its latitude and longitude`);
  return found;
}
