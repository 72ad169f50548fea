// What nats.js must be able to do over WebSocket, in Node.js and in a browser.
function assert(condition, what) {
  if (!condition) throw new Error(what);
}

export async function check(nats, url) {
  const open = () => nats.wsconnect({ servers: url, reconnect: false, timeout: 10000 });
  const nc = await open();
  const other = await open();

  const sub = other.subscribe("numbers", { max: 1000 });
  await other.flush();
  for (let i = 0; i < 1000; i++) nc.publish("numbers", `${i}`);
  let next = 0;
  for await (const msg of sub) assert(msg.string() === `${next++}`, "numbers in order");
  assert(next === 1000, "all numbers");

  const size = 900_000;
  const large = new Uint8Array(size).map((_, i) => (i * 31) % 251);
  other.subscribe("echo", { callback: (_, msg) => msg.respond(msg.data, { headers: msg.headers }) });
  await other.flush();
  const h = nats.headers();
  h.set("Key", "value");
  const answer = await nc.request("echo", large, { headers: h, timeout: 10000 });
  assert(answer.data.length === size, "a large answer");
  assert(answer.data.every((byte, i) => byte === large[i]), "the same bytes");
  assert(answer.headers.get("Key") === "value", "headers");

  let refused = false;
  await nc.request("nobody", "", { timeout: 10000 }).catch(() => (refused = true));
  assert(refused, "no responders");

  await nc.drain();
  await other.close();
}
