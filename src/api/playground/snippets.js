// A request of this page as the lines that make it elsewhere.
//
// A request is { path, type, text } for JSON or { path, type, file, name } for a file.

import { address, key } from "./api.js";

// For a POSIX shell.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function curl(request) {
  const lines = [`curl -s ${quoted(address(request.path).href)}`];
  if (key()) lines.push('-H "authorization: Bearer $ONNXD_KEY"');
  lines.push(`-H ${quoted(`content-type: ${request.type}`)}`);
  lines.push(`--data-binary ${quoted(request.file ? `@${request.name}` : request.text)}`);
  return lines.join(" \\\n  ");
}

export function python(request) {
  const lines = ["import requests", ""];
  const parts = [JSON.stringify(address(request.path).href)];
  const headers = [];
  if (key()) {
    lines.unshift("import os");
    headers.push('"authorization": f"Bearer {os.environ[\'ONNXD_KEY\']}"');
  }
  const value = request.file ? undefined : parsed(request.text);
  if (value === undefined) headers.push(`"content-type": ${JSON.stringify(request.type)}`);
  if (headers.length) parts.push(`headers={${headers.join(", ")}}`);
  if (request.file) parts.push("data=file");
  else if (value === undefined) parts.push(`data=${literal(request.text)}.encode()`);
  else parts.push(`json=${literal(value)}`);
  const call = `requests.post(\n${parts.map((part) => `    ${part},\n`).join("")})`;
  if (request.file) {
    lines.push(`with open(${literal(request.name)}, "rb") as file:`);
    lines.push(`    answer = ${call.replaceAll("\n", "\n    ")}`);
  } else {
    lines.push(`answer = ${call}`);
  }
  lines.push("answer.raise_for_status()", "print(answer.json())");
  return lines.join("\n");
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// A JSON value as Python writes it; strings are the same in both.
function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([name, of]) =>
      `${JSON.stringify(name)}: ${literal(of)}`
    );
    return `{${pairs.join(", ")}}`;
  }
  return JSON.stringify(value);
}
