// A photo, sentences and rows of features through fetch, which Node has since 18; nothing to install.
// In a browser the same calls work on a file of <input type="file">, once the page's origin is in
// server.cors_allowed_origins.
//
// Usage: node predict.mjs [PHOTO]    ONNXD_URL: the server, http://127.0.0.1:8080 by default

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

const url = process.env.ONNXD_URL ?? "http://127.0.0.1:8080";
const photo = process.argv[2] ?? fileURLToPath(new URL("../tests/fixtures/images/jpeg-coffee.jpg", import.meta.url));

/** The server said no; `problem` has detail, field, expected, got and request_id. */
class Refused extends Error {
  constructor(problem) {
    super(`${problem.status} ${problem.detail}`);
    this.problem = problem;
  }
}

/** One prediction for each input, in order. `path` is /predict, or /predict/MODEL. */
async function predict(path, body, headers = {}) {
  const response = await fetch(url + path, { method: "POST", body, headers, signal: AbortSignal.timeout(30_000) });
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer);
  return answer.result;
}

const json = (value, path = "/predict") =>
  predict(path, JSON.stringify(value), { "content-type": "application/json" });

const file = await readFile(photo);
const [{ label, score }] = await predict("/predict", file, { "content-type": "application/octet-stream" });
console.log(`${basename(photo)}: ${label} ${score.toFixed(2)}`);

// Several files are a form, as a browser sends it; fetch sets its content type.
const form = new FormData();
for (const name of ["first.jpg", "second.jpg"]) form.append("image", new Blob([file]), name);
console.log(`form: ${(await predict("/predict?top_k=1", form)).map(({ label }) => label).join(", ")}`);

const text = ["The battery lasts for days, I love it!", "It broke after a week."];
for (const [index, { label, score }] of (await json({ text })).entries()) {
  console.log(`${text[index]} ${label} ${score.toFixed(2)}`);
}

try {
  await json({ features: [[5.1, 3.5, 1.4]] }, "/predict/iris");
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.log(`refused: ${error.message} (request ${error.problem.request_id})`);
}
