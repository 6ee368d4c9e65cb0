// Requests to the server, and what its errors mean in plain words.

let apiKey = memory.get("key");
/** The model that every request names; null: the server's default one. */
let chosenModel = memory.get("model");

/** A name as a header can have it. */
const inHeader = (name) => name.replace(/[^\x21-\x24\x26-\x7e]+/g, encodeURIComponent);

class ServerError extends Error {
  /** `wait`: seconds after which it is worth trying again by itself; 0: not. */
  constructor(message, { status = 0, wait = 0 } = {}) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

/** The server's own sentence, of whichever family of clients. */
function reasonOf(text) {
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : (error?.message ?? "");
  } catch {
    return "";
  }
}

function explain(status, reason) {
  const because = reason ? `: ${reason}` : "";
  switch (status) {
    case 401:
      return apiKey ? "The server does not know this API key." : "This server wants an API key.";
    case 400:
    case 422:
      return `The server could not use this${because}.`;
    case 404:
    case 405:
      return "There is no such route here: another server, or another version of stella, answers at this address.";
    case 408:
      return "The request did not reach the server in time. The connection may be slow.";
    case 413:
      return "That is more than the server takes in one request. Use fewer or shorter texts, or raise --payload-limit.";
    case 429:
      return "The server has more work than it lets in.";
    case 503:
      if (reason.includes("being loaded")) return `The model is still being loaded${reason.split("being loaded")[1]}.`;
      return reason.includes("shut") ? "The server is shutting down." : `The server is not ready${because}.`;
    case 504:
      return "The server did not finish within its time limit. Fewer texts help, or a larger --request-timeout.";
    case 424:
    case 500:
      return `The model failed on this${because}.`;
    default:
      return `The server answered with status ${status}${because}.`;
  }
}

/** Sends `body`, or gets where there is none → { data, headers, milliseconds }. Addresses are relative: a proxy may serve this page below a path. */
async function ask(path, body, signal) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (apiKey) headers.authorization = "Bearer " + apiKey;
  if (chosenModel) headers["x-model"] = inHeader(chosenModel);
  const start = performance.now();
  let response, text;
  try {
    response = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError("The server does not answer. It may have ended, or the network is down.");
  }
  const milliseconds = performance.now() - start;
  if (!response.ok) {
    const again = response.status === 429 || response.status === 503;
    throw new ServerError(explain(response.status, reasonOf(text)), {
      status: response.status,
      wait: again ? clamp(Number(response.headers.get("retry-after")) || 2, 1, response.status === 503 ? 3 : 60) : 0,
    });
  }
  try {
    return { data: JSON.parse(text), headers: response.headers, milliseconds };
  } catch {
    throw new ServerError("The server answered with something that is not JSON. Is a proxy in between?");
  }
}

/** Texts whose vectors are kept, by task and text; the oldest go first. */
class Vectors {
  #kept = new Map();
  #limit = 6000;

  /**
   * Vectors of `texts` in all of `dimensions` → { rows: [{ tokens, full, truncated, vectors }], timing }; `timing` is null where all
   * were kept. What is missing is asked for in as few requests as their size allows.
   */
  async of(texts, task, dimensions, signal, progress) {
    const keys = texts.map((text) => `${task}\n${text}`);
    const missing = [...new Set(keys.filter((key) => dimensions.some((size) => !this.#kept.get(key)?.vectors[size])))];
    let timing = null;
    let done = 0;
    for (const part of this.#parts(missing, dimensions)) {
      if (missing.length > part.length) progress(done, missing.length);
      const answer = await ask("embed", bodyOf(part.map((key) => key.slice(task.length + 1)), task, dimensions), signal);
      this.#keep(part, answer.data, dimensions);
      timing = addTiming(timing, answer, part.length);
      done += part.length;
    }
    const rows = keys.map((key) => this.#kept.get(key));
    this.#forget(new Set(keys));
    return { rows, timing };
  }

  /** A request's answer stays below a million numbers, its body below half a megabyte. */
  *#parts(keys, dimensions) {
    const most = clamp(Math.floor(1e6 / dimensions.reduce((sum, size) => sum + size, 0)), 1, Math.min(128, limits.batch));
    let part = [];
    let bytes = 0;
    for (const key of keys) {
      if (part.length === most || (part.length && bytes + key.length > 5e5)) {
        yield part;
        part = [];
        bytes = 0;
      }
      part.push(key);
      bytes += key.length;
    }
    if (part.length) yield part;
  }

  #keep(keys, data, dimensions) {
    keys.forEach((key, row) => {
      const kept = this.#kept.get(key) ?? { vectors: {} };
      const { tokens, full_tokens: full, truncated } = data.report[row];
      Object.assign(kept, { tokens, full, truncated });
      for (const size of dimensions) kept.vectors[size] = Float32Array.from(data.embeddings[size][row]);
      this.#kept.set(key, kept);
    });
  }

  #forget(used) {
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= this.#limit) return;
      if (!used.has(key)) this.#kept.delete(key);
    }
  }
}

const limits = { batch: 32 };

const bodyOf = (texts, task, dimensions) => ({ inputs: texts, prompt_name: task, dimensions, truncate: true, report: true });

function addTiming(sum, { headers, milliseconds }, texts) {
  const number = (name) => Number(headers.get(name)) || 0;
  const before = sum ?? { texts: 0, tokens: 0, total: 0, server: 0, queue: 0, requests: 0 };
  return {
    texts: before.texts + texts,
    tokens: before.tokens + number("x-compute-tokens"),
    total: before.total + milliseconds,
    server: before.server + number("x-total-time"),
    queue: before.queue + number("x-queue-time"),
    requests: before.requests + 1,
  };
}
