// What the stock services client hears of every service: node services.mjs URL. Prints ping, info and stats as JSON.
import { connect } from "nats";

const nc = await connect({ servers: process.argv[2] });
const client = nc.services.client({ maxWait: 2000, strategy: "stall" });
const heard = {};
for (const verb of ["ping", "info", "stats"]) {
  heard[verb] = [];
  for await (const answer of await client[verb]()) heard[verb].push(answer);
}
await nc.close();
console.log(JSON.stringify(heard));
