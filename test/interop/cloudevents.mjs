// cloudevents: the stock SDK and MessagePack library on both sides of our codecs.
//   read <json file> <msgpack file> <headers file>   events of ours: reads each, prints it as one JSON line
//   make <folder>                                    events of the SDK: event.json event.msgpack event.headers
import { readFileSync, writeFileSync } from "node:fs";
import { CloudEvent, HTTP } from "cloudevents";
import { decode, encode } from "@msgpack/msgpack";

function print(event) {
  event.validate();
  console.log(JSON.stringify(event.toJSON()));
}

function parseHeaders(bytes) {
  const text = bytes.toString("utf8");
  const end = text.indexOf("\n\n");
  const headers = {};
  for (const line of text.slice(0, end).split("\n")) {
    const [name, value] = line.split(": ");
    headers[name] = decodeURIComponent(value);
  }
  headers["content-type"] = headers["ce-datacontenttype"];
  return { headers, body: text.slice(end + 2) };
}

function read(json, msgpack, headers) {
  print(HTTP.toEvent({
    headers: { "content-type": "application/cloudevents+json" },
    body: readFileSync(json, "utf8"),
  }));
  print(new CloudEvent(decode(readFileSync(msgpack))));
  print(HTTP.toEvent(parseHeaders(readFileSync(headers))));
}

function make(folder) {
  const event = new CloudEvent({
    id: "js-1",
    source: "/made/by/javascript",
    type: "com.example.made",
    subject: "naïve € 😀 100%",
    time: "2024-08-08T23:54:13.937Z",
    datacontenttype: "application/json",
    dataschema: "https://example.com/schema",
    marketlane: "act",
    extinteger: 42,
    extboolean: true,
    data: { price: "61837.63000000", levels: [["1.5", "2"]], n: -3.25, big: 9007199254740991, none: null, text: "ü\n" },
  });
  const structured = HTTP.structured(event);
  writeFileSync(`${folder}/event.json`, structured.body);
  writeFileSync(`${folder}/event.msgpack`, encode(JSON.parse(structured.body)));
  const binary = HTTP.binary(event);
  const lines = Object.entries(binary.headers).map(([name, value]) =>
    `${name}: ${encodeURI(String(value))}`); // the NATS binding wants values percent-encoded
  writeFileSync(`${folder}/event.headers`, `${lines.join("\n")}\n\n${binary.body}`);
}

const [what, ...args] = process.argv.slice(2);
({ read, make })[what](...args);
