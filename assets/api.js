// The client of the project's data plane. Acts go out one at a time, in the order they were made.

const LOST = "The editor's server does not answer, so the last change was not kept; check that it is still running.";

/** A refusal of the server: its text is a sentence for the user. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export class Api {
  /** `base` is the address of the data plane with a final slash. */
  constructor(base, project, fetcher = (...args) => fetch(...args)) {
    this.base = base;
    this.project = project;
    this.fetcher = fetcher;
    this.chain = Promise.resolve();
    this.waiting = 0;
    this.sent = 0;
  }

  /** Address of a file of this project. */
  url(path) {
    return `${this.base}projects/${encodeURIComponent(this.project)}/${path}`;
  }

  /** Sends one act after all earlier ones. Resolves to the view after it; rejects with ApiError. */
  act(name, args, frame) {
    return this.#inOrder(() => this.#json("acts", { name, args, frame })).then((answer) => answer.view);
  }

  /** Stores a painted RGBA layer (base64 PNG at source size) as a take of the anchor at `frame`. */
  paint(frame, png, over) {
    return this.#inOrder(() => this.#json("paint", { frame, png, over })).then((answer) => answer.view);
  }

  /** Sends a body to an address of this project after all earlier acts; resolves to the answer. */
  order(path, body) {
    return this.#inOrder(() => this.#json(path, body));
  }

  /** The contact sheet: {anchors, pairs}. */
  sheet() {
    return this.#json("sheet");
  }

  view() {
    return this.#json("view");
  }

  status(rev) {
    return this.#json(`status?rev=${rev}`);
  }

  cancel(job) {
    return this.#json(`jobs/${encodeURIComponent(job)}/cancel`, {});
  }

  /** What is measured of the frames and what is wrong with them: {key, lanes, problems}. */
  review() {
    return this.#json("review");
  }

  /** Moves a waiting job by so many places, up where negative. */
  move(job, by) {
    return this.#json(`jobs/${encodeURIComponent(job)}/move`, { by });
  }

  async times() {
    const response = await this.fetcher(this.url("times"));
    if (!response.ok) throw new ApiError(`The times of the frames cannot be read (answer ${response.status}).`, response.status);
    return new Float32Array(await response.arrayBuffer());
  }

  /** Resolves when nothing is under way. */
  async idle() {
    while (this.waiting > 0) await this.chain;
  }

  #inOrder(send) {
    this.waiting += 1;
    const result = this.chain.then(() => {
      this.sent += 1;
      return send();
    });
    this.chain = result.then(
      () => (this.waiting -= 1),
      () => (this.waiting -= 1),
    );
    return result;
  }

  async #json(path, body) {
    const init =
      body === undefined
        ? { cache: "no-store" }
        : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let response;
    try {
      response = await this.fetcher(this.url(path), init);
    } catch (error) {
      throw new ApiError(LOST, 0, { cause: error });
    }
    if (response.ok) return response.json();
    throw new ApiError(await refusal(response), response.status);
  }
}

/** The server's own sentence, or one that names the status. */
async function refusal(response) {
  const text = await response.text();
  try {
    const answer = JSON.parse(text);
    if (typeof answer.error === "string") return answer.error;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return `The editor's server answered ${response.status}; the last change was not kept.`;
}
