// The worker as functions that return promises.

export class Painter {
  #worker;
  #waiting = new Map();
  #count = 0;

  /** @param engine "wasm" to leave a graphics card aside, else null. */
  constructor(engine) {
    this.#worker = new Worker(`worker.mjs${engine ? `?engine=${engine}` : ""}`, { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#settle(data);
    this.#worker.onerror = ({ message }) => {
      for (const id of [...this.#waiting.keys()]) this.#settle({ id, error: message || "the network could not be started" });
    };
  }

  /** Return `{provider, threads}`. */
  describe() {
    return this.#ask({});
  }

  /**
   * Return `{width, height, seconds, photo, styled, planes}`: RGBA bytes, and the styled values as they were before rounding.
   * The bitmap is given away.
   */
  paint(style, bitmap) {
    return this.#ask({ style: style.network, bitmap }, [bitmap]);
  }

  #ask(question, given = []) {
    const id = (this.#count += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...question }, given);
    });
  }

  #settle({ id, error, ...answer }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  }
}
