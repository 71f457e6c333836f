// The server, asked from where the page came from.

const BASE = new URL(".", document.baseURI);
const KEY = "onnxd.key";

// Where a path of the server is, also behind a proxy that put a prefix before it.
export const address = (path) => new URL(path, BASE);

export const key = () => sessionStorage.getItem(KEY);
export const setKey = (value) =>
  value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY);

// What the server said instead of an answer: the fields of its problem+json.
export class Problem extends Error {
  constructor(fields) {
    super(fields.detail ?? fields.title);
    Object.assign(this, fields);
  }
}

// What went wrong as a problem, also where it was this page.
export function known(error) {
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem({ title: "This page failed", detail: String(error) });
}

let wanted = null;
let askForKey = () => Promise.resolve(null);

// Registers what asks a person for a key: given why, it promises one, or null.
export function onKeyWanted(ask) {
  askForKey = ask;
}

// Sends a request and gives its response. `quiet` requests never ask for a key.
export async function ask(path, options = {}, quiet = false) {
  for (;;) {
    const used = key();
    const headers = { ...options.headers };
    if (used) headers.authorization = `Bearer ${used}`;
    let response;
    try {
      response = await fetch(address(path), { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({
        title: "The server does not answer",
        detail: "It was stopped, or the connection to it is broken.",
        status: 0,
      });
    }
    if (response.ok) return response;
    const problem = await read(response);
    if (response.status !== 401 || quiet) throw problem;
    // Another request may have asked meanwhile.
    if (key() !== used) continue;
    wanted ??= askForKey(used ? "The server does not know this key." : null).finally(
      () => (wanted = null),
    );
    const given = await wanted;
    if (!given) throw problem;
    setKey(given);
  }
}

async function read(response) {
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  const requestId = response.headers.get("x-request-id");
  const fields = { status: response.status, retryAfter, requestId };
  try {
    const { title, detail, error, field, expected, got, type } = await response.json();
    return new Problem({ ...fields, title, detail: detail ?? error, field, expected, got, type });
  } catch {
    // A proxy's page, or a connection that broke.
    const title = `Status ${response.status}`;
    return new Problem({ ...fields, title, detail: response.statusText || "No reason was given." });
  }
}
