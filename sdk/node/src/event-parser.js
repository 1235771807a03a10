// Server-sent events from bytes, as the WHATWG's HTML standard has them: one pass, and never more than one event in memory.

const MOST_CHARACTERS = 256 * 1024;

/** @typedef {{type: string, data: string, id: string}} ServerSentEvent */

/** Takes a stream apart as it comes, whatever the pieces. */
export class EventParser {
  #decoder = new TextDecoder();
  #held = 0;
  #line = "";
  #afterReturn = false;
  #type = "";
  /** @type {string[]} */
  #data = [];
  #id = "";

  /**
   * The events that these bytes complete.
   *
   * @param {Uint8Array} bytes
   * @returns {Generator<ServerSentEvent, void, void>}
   * @throws {Error} an event is larger than any of Latchkey's
   */
  *feed(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    const ends = /[\r\n]/g;
    let start = 0;
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      const second = this.#afterReturn && end[0] === "\n" && end.index === start && this.#line === "";
      if (!second) {
        this.#hold(text.slice(start, end.index));
        const event = this.#endLine();
        if (event !== null) yield event;
      }
      this.#afterReturn = end[0] === "\r";
      start = ends.lastIndex;
    }
    if (start < text.length) {
      this.#hold(text.slice(start));
      this.#afterReturn = false;
    }
  }

  #hold(part) {
    this.#held += part.length;
    if (this.#held > MOST_CHARACTERS) throw new Error("an event is too large");
    this.#line += part;
  }

  /** @returns {ServerSentEvent | null} */
  #endLine() {
    const line = this.#line;
    this.#line = "";
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "event") this.#type = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  /** @returns {ServerSentEvent | null} */
  #dispatch() {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    this.#held = 0;
    this.#type = "";
    this.#data = [];
    return empty ? null : event;
  }
}
