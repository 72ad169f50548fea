// checks.js in Node.js.
import * as nats from "@nats-io/transport-node";
import { WebSocket } from "ws";
import { check } from "./websocket-checks.js";

// Older versions of Node.js have none.
globalThis.WebSocket ??= WebSocket;
await check(nats, process.argv[2]);
process.exit(0);
