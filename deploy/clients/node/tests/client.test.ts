// What the client does when a server refuses, stops or breaks, seen against a server that finds the word "Ann".

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from "@grpc/grpc-js";

import { Attempts, Config, connect, type Event, extract, GaveUp, type Options, SourceLost } from "../src/client.js";
import type { Document } from "../src/client.js";
import { Done, Ready } from "../src/gen/gleand/v1/events.js";
import {
  ExtractionServiceService,
  type ExtractStreamRequest,
  type ExtractStreamResponse,
} from "../src/gen/gleand/v1/extraction.js";
import { Mention } from "../src/gen/gleand/v1/results.js";
import { ErrorInfo, RetryInfo } from "../src/gen/google/rpc/error_details.js";
import { Status } from "../src/gen/google/rpc/status.js";
import { delayBeforeNext, isRpcError } from "../src/retry.js";
import { TextCounter, wholeWords } from "../src/sources.js";

const TEXT = ("😀 Ann and Bob met Ann. " + "Nobody was there, é, 漢字 or not. ".repeat(12)).repeat(500);
const BYTES = Buffer.from(TEXT);
const WORD = "Ann";

function failure(code: status, reason?: string, retryMs?: number, pushback?: string) {
  const metadata = new Metadata();
  if (pushback !== undefined) metadata.set("grpc-retry-pushback-ms", pushback);
  const details = [];
  if (reason) {
    const value = Buffer.from(ErrorInfo.encode(ErrorInfo.create({ reason })).finish());
    details.push({ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value });
  }
  if (retryMs !== undefined) {
    const retryDelay = { seconds: Math.floor(retryMs / 1000), nanos: (retryMs % 1000) * 1e6 };
    const value = Buffer.from(RetryInfo.encode({ retryDelay }).finish());
    details.push({ typeUrl: "type.googleapis.com/google.rpc.RetryInfo", value });
  }
  const packed = Status.encode({ code, message: "not now", details }).finish();
  if (details.length > 0) metadata.set("grpc-status-details-bin", Buffer.from(packed));
  return { code, details: "not now", metadata };
}

/** What a server does with one stream: cut it or announce its stop after so many bytes, read nothing, or end late. */
interface Turn {
  what: "find" | "refuse" | "cut" | "drain" | "stall" | "linger";
  bytes?: number;
  /** From `done` to the status. */
  ms?: number;
  fingerprint?: string;
}

/** The words of a document, with starts that are told in three units. */
function mentions(text: Buffer, from: number, ordinal: number): Mention[] {
  const found: Mention[] = [];
  for (let at = from; (at = text.indexOf(WORD, at)) >= 0; at += WORD.length) {
    const before = new TextCounter();
    before.add(text.subarray(0, at));
    const range = (start: number) => ({ start, end: start + WORD.length });
    const { bytes, codepoints, utf16 } = before.place;
    const ranges = { byteRange: range(bytes), codepointRange: range(codepoints), utf16Range: range(utf16) };
    found.push(Mention.fromPartial({ taskId: "t", ordinal: ordinal + found.length, ...ranges }));
  }
  return found;
}

type ServerCall = ServerDuplexStream<ExtractStreamRequest, ExtractStreamResponse>;

function answer(call: ServerCall, turn: Turn, lingered: boolean[]): void {
  const tell = (kind: Event["kind"]) => call.write({ event: { kind } });
  let text = Buffer.alloc(0);
  let [searched, ordinal, flushed, told, over] = [0, 0, false, false, false];
  const fail = (failed: ReturnType<typeof failure>) => {
    over = true;
    call.emit("error", failed);
  };
  const end = () => {
    lingered.push(call.cancelled);
    call.end();
  };
  call.on("data", ({ kind }: ExtractStreamRequest) => {
    if (over) return;
    if (kind?.$case === "config") {
      if (turn.what === "refuse") return fail(failure(status.RESOURCE_EXHAUSTED, "QUEUE_FULL", 300));
      tell({ $case: "ready", value: Ready.fromPartial({ fingerprint: turn.fingerprint ?? "00ff" }) });
      if (turn.what === "stall") call.pause();
    }
    if (kind?.$case === "chunk") text = Buffer.concat([text, kind.value.data]);
    flushed ||= kind?.$case === "flush";
    const found = mentions(text, searched, ordinal);
    searched = found.at(-1)?.byteRange?.end ?? searched;
    ordinal += found.length;
    if (found.length > 0) tell({ $case: "mentions", value: { mentions: found } });
    if (kind?.$case === "finish") {
      const whole = kind.value.optionalTotalBytes?.value === text.length && flushed === told;
      if (!whole) return fail(failure(status.INVALID_ARGUMENT, "TOTAL_MISMATCH"));
      tell({ $case: "done", value: Done.fromPartial({}) });
      if (turn.what === "linger") return void setTimeout(end, turn.ms);
      return call.end();
    }
    if (text.length < (turn.bytes ?? Infinity)) return;
    if (turn.what === "cut") return fail(failure(status.UNAVAILABLE, "DRAINING", 1));
    if (turn.what === "drain" && !told) {
      told = true;
      tell({ $case: "draining", value: { remaining: undefined } });
    }
  });
}

/** Each stream does what its turn says, the last turn for ever. */
async function serving(t: TestContext, ...turns: Turn[]) {
  // `lingered`: of each stream that ended late, whether it was cancelled meanwhile.
  const counts = { streams: 0, lingered: [] as boolean[] };
  const server = new Server();
  server.addService(ExtractionServiceService, {
    extractStream(call: ServerCall) {
      const turn = turns[Math.min(counts.streams, turns.length - 1)];
      counts.streams += 1;
      answer(call, turn!, counts.lingered);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, number: number) => (error ? reject(error) : resolve(number));
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), bound);
  });
  const client = connect(`127.0.0.1:${port}`);
  t.after(() => {
    client.close();
    server.forceShutdown();
  });
  return { client, counts, port };
}

type Client = ReturnType<typeof connect>;

function rowOf({ ordinal, byteRange, codepointRange, utf16Range }: Mention) {
  return [ordinal, byteRange?.start, codepointRange?.start, utf16Range?.start];
}

/** What a caller has at the end, and what came between. */
async function read(client: Client, document: Document, options: Options = {}, onDraining = () => {}) {
  const rows: ReturnType<typeof rowOf>[] = [];
  const between: object[] = [];
  for await (const told of extract(client, Config.fromPartial({}), document, options)) {
    if (told.type === "discard") rows.length = 0;
    if (told.type !== "event") between.push(told);
    else if (told.event.kind?.$case === "draining") onDraining();
    else if (told.event.kind?.$case === "mentions") rows.push(...told.event.kind.value.mentions.map(rowOf));
  }
  return { rows, between };
}

const EXPECTED = mentions(BYTES, 0, 0).map(rowOf);

/** Small pieces, each after a call of `wait` with its place. */
async function* pieces(wait: (at: number) => Promise<void> = async () => {}) {
  for (let at = 0; at < BYTES.length; at += 999) {
    await wait(at);
    yield BYTES.subarray(at, at + 999);
  }
}

test("the delay is that of the server, else doubles; what another attempt cannot help has none", () => {
  const near = (told: number | undefined, expected: number) =>
    assert.ok(told !== undefined && Math.abs(told - expected) < 1e-6, `${told}, not ${expected}`);
  const unavailable = failure(status.UNAVAILABLE, "DRAINING");
  near(delayBeforeNext(unavailable, 1, 0.5), 100);
  near(delayBeforeNext(unavailable, 3, 0.5), 400);
  near(delayBeforeNext(unavailable, 9, 0.5), 5000);
  near(delayBeforeNext(failure(status.UNAVAILABLE, "DRAINING", undefined, "300"), 1, 0.5), 330);
  near(delayBeforeNext(failure(status.UNAVAILABLE, "DRAINING", 1500, "300"), 1, 1), 1800);
  near(delayBeforeNext(failure(status.RESOURCE_EXHAUSTED, "QUEUE_FULL", 2000), 1, 0), 2000);
  near(delayBeforeNext(failure(status.UNKNOWN), 1, 0.5), 100);
  near(delayBeforeNext(failure(status.INTERNAL), 1, 0.5), 100);
  for (const hopeless of [
    failure(status.UNAVAILABLE, "DRAINING", 100, "-1"),
    failure(status.UNAVAILABLE, "DRAINING", 100, ""),
    failure(status.INTERNAL, "WORKER_FAILED"),
    failure(status.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", 100),
    failure(status.INVALID_ARGUMENT, "LABELS_EMPTY"),
  ]) {
    assert.equal(delayBeforeNext(hopeless, 1, 0.5), undefined);
  }
});

test("what was refused or cut is sent again, and nothing is told twice", async (t) => {
  const cuts: Turn[] = [{ what: "cut", bytes: 80_000 }, { what: "cut", bytes: 66_000 }];
  const { client } = await serving(t, { what: "refuse" }, ...cuts, { what: "find" });
  const attempts = new Attempts();
  assert.deepEqual(await read(client, TEXT, { attempts }), { rows: EXPECTED, between: [] });
  assert.deepEqual([attempts.attempts, attempts.restarts, attempts.refused, attempts.instances.length], [4, 3, 1, 3]);
});

test("another fingerprint voids what was told", async (t) => {
  const { client } = await serving(t, { what: "cut", bytes: 80_000 }, { what: "find", fingerprint: "abcd" });
  const between = [{ type: "discard", fingerprint: "abcd" }];
  assert.deepEqual(await read(client, BYTES), { rows: EXPECTED, between });
});

test("four attempts, the timeout and the signal are the end", async (t) => {
  const { client, counts } = await serving(t, { what: "refuse" });
  await assert.rejects(read(client, TEXT), GaveUp);
  assert.equal(counts.streams, 4);
  await assert.rejects(read(client, TEXT, { timeoutMs: 250 }), GaveUp);
  assert.equal(counts.streams, 5);
  const signal = AbortSignal.timeout(30);
  await assert.rejects(read(client, TEXT, { signal }), { name: "TimeoutError" });
});

test("draining ends a document between words, and the rest is a document of its own", async (t) => {
  const turns: Turn[] = [{ what: "drain", bytes: 20_000 }, { what: "refuse" }, { what: "drain", bytes: 50_000 }];
  const { client } = await serving(t, ...turns, { what: "find" });
  const attempts = new Attempts();
  // The source has no more until the client knows that the server stops.
  let drainings = 0;
  const wait = async (at: number) => {
    while (drainings < Number(at > 25_000) + Number(at > 90_000)) await sleep(1);
  };
  const { rows, between } = await read(client, pieces(wait), { attempts }, () => (drainings += 1));
  assert.deepEqual(rows, EXPECTED);
  const parts = between as { number: number; start: { bytes: number; codepoints: number; utf16: number } }[];
  assert.deepEqual(parts.map((part) => part.number), [2, 3]);
  for (const { start } of parts) {
    assert.equal(start.utf16, BYTES.subarray(0, start.bytes).toString().length);
    assert.equal(BYTES[start.bytes - 1], " ".charCodeAt(0));
  }
  assert.equal(attempts.attempts, 4);
});

test("a cut and an error of a source that is read once are told", async (t) => {
  const { client } = await serving(t, { what: "cut", bytes: 20_000 }, { what: "find" });
  await assert.rejects(read(client, pieces()), SourceLost);
  async function* broken() {
    yield Buffer.from("Ann ");
    throw new RangeError("the disk");
  }
  await assert.rejects(read(client, broken()), new RangeError("the disk"));
});

test("an error of the source comes out as it is, also one of a call to another service", async (t) => {
  const { client, counts } = await serving(t, { what: "find" });
  const foreign = Object.assign(new Error("another service"), failure(status.UNAVAILABLE));
  async function* broken(...first: Uint8Array[]) {
    yield* first;
    throw foreign;
  }
  for (const first of [[], [Buffer.from("Ann ")]]) {
    await assert.rejects(read(client, broken(...first)), (error) => error === foreign);
  }
  const noIterator = { [Symbol.asyncIterator]: () => { throw foreign; } };
  await assert.rejects(read(client, noIterator), (error) => error === foreign);
  assert.equal(counts.streams, 3);
});

test("the timeout counts between parts", async (t) => {
  const { client, counts } = await serving(t, { what: "drain", bytes: 4 }, { what: "find" });
  async function* silent() {
    yield Buffer.from("Ann ");
    await new Promise(() => {});
  }
  const reading = read(client, silent(), { timeoutMs: 500 });
  await assert.rejects(reading, { code: status.DEADLINE_EXCEEDED, details: /source/ });
  assert.equal(counts.streams, 1);
});

test("the status is read after done, but not waited for for ever", async (t) => {
  const { client, counts } = await serving(t, { what: "linger", ms: 200 }, { what: "linger", ms: 3000 });
  const started = performance.now();
  for (const _ of [1, 2]) assert.deepEqual((await read(client, "Ann")).rows, [[0, 0, 0, 0]]);
  assert.ok(performance.now() - started < 2500);
  while (counts.lingered.length < 2) await sleep(20);
  assert.deepEqual(counts.lingered, [false, true]);
});

test("a connection that died without a word is found while nothing is written", async (t) => {
  const { port } = await serving(t, { what: "find" });
  let passing = true;
  const sockets: Socket[] = [];
  const relay = createServer((near) => {
    const far = createConnection(port, "127.0.0.1");
    sockets.push(near, far);
    near.on("data", (data) => passing && far.write(data)).on("error", () => {});
    far.on("data", (data) => passing && near.write(data)).on("error", () => {});
  });
  await once(relay.listen(0, "127.0.0.1"), "listening");
  const address = `127.0.0.1:${(relay.address() as AddressInfo).port}`;
  const client = connect(address, undefined, { "grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 200 });
  t.after(() => {
    client.close();
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
  async function* silent() {
    yield Buffer.from("Ann ");
    await new Promise(() => {});
  }
  const lost = (error: unknown) =>
    error instanceof SourceLost && isRpcError(error.cause) && error.cause.code === status.UNAVAILABLE;
  await assert.rejects(async () => {
    for await (const told of extract(client, Config.fromPartial({}), silent(), { timeoutMs: 20_000 })) {
      if (told.type !== "event" || told.event.kind?.$case !== "mentions") continue;
      await sleep(1000); // some pings that are answered
      passing = false;
    }
  }, lost);
});

test("a caller may leave at any time, also where the source never has anything", async (t) => {
  const { client } = await serving(t, { what: "find" });
  async function* never() {
    await new Promise(() => {});
    yield BYTES;
  }
  for await (const told of extract(client, Config.fromPartial({}), never())) {
    assert.equal(told.type === "event" && told.event.kind?.$case, "ready");
    break;
  }
  const signal = AbortSignal.timeout(50);
  await assert.rejects(read(client, never(), { signal }), { name: "TimeoutError" });
});

test("a server that does not read stops the reading of the source", async (t) => {
  const { client } = await serving(t, { what: "stall" });
  let taken = 0;
  async function* many() {
    for (; taken < 300; taken += 1) {
      await sleep(1);
      yield Buffer.alloc(64 << 10, " ");
    }
  }
  await assert.rejects(read(client, many(), { signal: AbortSignal.timeout(1000) }), { name: "TimeoutError" });
  assert.ok(taken > 0 && taken < 60, `${taken}`);
});

test("no code point and no short word is cut", () => {
  const word = "x".repeat(64);
  const emoji = Buffer.from("😀");
  for (const [waiting, count] of [
    [Buffer.from("short"), 0],
    [Buffer.from("one two"), 4],
    [Buffer.from(word), 64],
    [Buffer.concat([Buffer.from(word), emoji.subarray(0, 3)]), 64],
    [Buffer.concat([Buffer.from(word), emoji]), 68],
  ] as const) {
    assert.equal(wholeWords(waiting, false), count, waiting.toString());
  }
  assert.equal(wholeWords(Buffer.from("short"), true), 5);
});

test("text that is not UTF-8 counts as gleand counts it", () => {
  const counter = new TextCounter();
  for (const byte of Buffer.from("6180e6bcf09f98eda0c3", "hex")) counter.add(Buffer.of(byte));
  counter.endDocument();
  assert.deepEqual(counter.place, { bytes: 10, codepoints: 7, utf16: 7 });
});
