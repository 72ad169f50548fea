// The checks of tests/clients, with @nats-io/transport-node.
import assert from "node:assert/strict";
import readline from "node:readline";
import { connect, headers as newHeaders } from "@nats-io/transport-node";

async function publish(nc, other) {
  const sub = other.subscribe("numbers", { max: 1000 });
  await other.flush();
  for (let i = 0; i < 1000; i++) nc.publish("numbers", `${i}`);
  let next = 0;
  for await (const msg of sub) assert.equal(msg.string(), `${next++}`);
  assert.equal(next, 1000);
}

async function wildcards(nc, other) {
  const subs = [other.subscribe("w.*.x"), other.subscribe("w.>")];
  await other.flush();
  for (const subject of ["w.a.x", "w.a.b.x", "w", "w.a", "w.end.x"]) nc.publish(subject);
  const seen = [];
  for (const sub of subs) {
    const subjects = [];
    for await (const msg of sub) {
      if (msg.subject === "w.end.x") break;
      subjects.push(msg.subject);
    }
    seen.push(subjects);
  }
  assert.deepEqual(seen, [["w.a.x"], ["w.a.x", "w.a.b.x", "w.a"]]);
}

async function request(nc, other) {
  other.subscribe("double", {
    callback: (_, msg) => msg.respond(msg.string() + msg.string()),
  });
  await other.flush();
  const numbers = [...Array(100).keys()];
  const answers = await Promise.all(
    numbers.map((i) => nc.request("double", `${i}.`, { timeout: 10000 })),
  );
  assert.deepEqual(answers.map((a) => a.string()), numbers.map((i) => `${i}.${i}.`));
}

async function queue(nc, other) {
  const got = [];
  let finish;
  const done = new Promise((resolve) => (finish = resolve));
  const callback = (_, msg) => {
    got.push(msg.string());
    if (got.length === 300) finish();
  };
  for (const client of [nc, other, other]) {
    client.subscribe("jobs", { queue: "workers", callback });
    await client.flush();
  }
  const sent = [...Array(300).keys()].map(String);
  for (const text of sent) nc.publish("jobs", text);
  await done;
  await nc.flush();
  await other.flush();
  assert.deepEqual(got.sort(), sent.sort());
}

async function headers(nc, other) {
  const sub = other.subscribe("headed", { max: 1 });
  await other.flush();
  const h = newHeaders();
  h.append("Key", "Value");
  h.append("Key", "Second");
  nc.publish("headed", "body", { headers: h });
  for await (const msg of sub) {
    assert.equal(msg.string(), "body");
    assert.deepEqual(msg.headers.values("Key"), ["Value", "Second"]);
  }
}

async function noResponders(nc) {
  await assert.rejects(nc.request("nobody", "", { timeout: 10000 }), (e) =>
    `${e.name} ${e.cause?.name} ${e.message}`.toLowerCase().includes("responders"));
}

async function drain(nc, other) {
  const sub = other.subscribe("drained");
  await other.flush();
  for (let i = 0; i < 500; i++) nc.publish("drained", `${i}`);
  await nc.flush();
  // A round trip through the other connection: what was sent before is on its way there.
  await nc.request("double", "", { timeout: 10000 });
  const drained = sub.drain();
  let next = 0;
  for await (const msg of sub) assert.equal(msg.string(), `${next++}`);
  await drained;
  assert.equal(next, 500);
}

// Resolves at the connection's next `reconnect` event.
async function comeback(client) {
  for await (const status of client.status()) {
    if (status.type === "reconnect") return;
  }
}

async function reconnect(nc, other) {
  const sub = other.subscribe("after", { max: 1 });
  await other.flush();
  const back = Promise.all([comeback(nc), comeback(other)]);
  console.log("restart");
  const input = readline.createInterface({ input: process.stdin });
  await new Promise((resolve) => input.once("line", resolve));
  input.close();
  await back;
  await other.flush();
  nc.publish("after", "back");
  for await (const msg of sub) assert.equal(msg.string(), "back");
}

const options = { servers: process.argv[2], reconnectTimeWait: 50, maxReconnectAttempts: -1 };
const nc = await connect(options);
const other = await connect(options);
for (const [name, check] of [
  ["publish", publish],
  ["wildcards", wildcards],
  ["request", request],
  ["queue", queue],
  ["headers", headers],
  ["no responders", noResponders],
  ["drain", drain],
  ["reconnect", reconnect],
]) {
  await check(nc, other);
  console.log(`ok ${name}`);
}
await other.close();
await nc.drain();
process.exit(0);
