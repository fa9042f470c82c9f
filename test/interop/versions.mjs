// versions: the stock packages load, and which CloudEvents version they speak.
import { V1 } from "cloudevents";
import "@msgpack/msgpack";
import "nats";
import "@asyncapi/parser";

console.log(`cloudevents ${V1}`);
