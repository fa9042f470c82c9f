// Reads an AsyncAPI document with the stock parser: node asyncapi.mjs FILE. Prints what it found as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const bad = diagnostics.filter((d) => d.severity <= 1).map((d) => `${d.path.join(".")}: ${d.message}`);
console.log(JSON.stringify({
  valid: document !== undefined,
  bad,
  version: document?.version(),
  channels: document?.channels().all().map((c) => c.id()) ?? [],
  addresses: document?.channels().all().map((c) => c.address()) ?? [],
}));
