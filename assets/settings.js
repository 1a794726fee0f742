// What the page keeps for this user beside the projects: own keys, whether the tour was seen. Kept on the server, in the
// user's home: another browser or port finds it again.

export class Settings {
  constructor(url, fetcher = (...given) => fetch(...given)) {
    Object.assign(this, { url, fetcher, values: {}, chain: Promise.resolve() });
  }

  /** Resolves to what was kept; {} where nothing was, or the server does not answer. */
  async load() {
    const response = await this.fetcher(this.url);
    if (response.ok) this.values = await response.json();
    return this.values;
  }

  /** Keeps changes, in their order. Rejects with a sentence. */
  keep(changes) {
    Object.assign(this.values, changes);
    this.chain = this.chain.catch(() => {}).then(() => this.#send(changes)); // one that failed was told to its own caller
    return this.chain;
  }

  async #send(changes) {
    const response = await this.fetcher(this.url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(changes) });
    if (!response.ok) throw new Error((await response.json()).error);
  }
}
