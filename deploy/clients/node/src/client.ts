/**
 * Streams documents to gleand and goes on when a server is full, stops or breaks.
 *
 *     for await (const told of extract(connect("gleand:50051"), config, { path: "book.txt" })) ...
 *
 * A document that can be read twice is sent anew from byte 0 where the server is UNAVAILABLE or refuses with QUEUE_FULL, in
 * four attempts at most. What was told is not told again as long as the server that goes on has the same fingerprint; with
 * another one a `discard` comes first.
 *
 * A document that is read once is sent once. A server that stops in order says so while it still reads: the document ends
 * there, and the rest goes to the next server as a document of its own. A `part` comes before its events; offsets and ordinals
 * go on. Where the stream is cut instead, `SourceLost` is thrown.
 */

import { setTimeout as sleep } from "node:timers/promises";

import {
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";

import type { Config } from "./gen/gleand/v1/config.js";
import type { Event } from "./gen/gleand/v1/events.js";
import {
  Chunk,
  ExtractionServiceClient,
  ExtractStreamRequest,
  type ExtractStreamResponse,
} from "./gen/gleand/v1/extraction.js";
import { Handed } from "./handed.js";
import { ATTEMPTS_MAX, cut, delayBeforeNext, isRpcError } from "./retry.js";
import { type Document, type Place, type Source, sourceOf } from "./sources.js";

export { Config } from "./gen/gleand/v1/config.js";
export { Event } from "./gen/gleand/v1/events.js";
export type { Document, Place } from "./sources.js";

/** What it took. Give one to `extract` and look at it afterwards; it adds up over several documents. */
export class Attempts {
  /** Streams opened. */
  attempts = 0;
  /** Of them, again after a failure. */
  restarts = 0;
  /** Streams that failed before anything of the document was sent. */
  refused = 0;
  /** Further documents that sources which are read once became. */
  parts = 0;
  /** Restarts with another fingerprint. */
  discards = 0;
  /** Who accepted a stream, in order. */
  instances: string[] = [];
}

export type Told =
  | { type: "event"; event: Event }
  /** Everything told before is void: a server with another fingerprint goes on, from the start of the document. */
  | { type: "discard"; fingerprint: string }
  /** What follows was read as a document of its own, which starts there in the whole input. */
  | { type: "part"; number: number; start: Place };

export interface Options {
  apiKey?: string | undefined;
  /** Ends all attempts. */
  timeoutMs?: number | undefined;
  /** Ends the extraction with its reason. */
  signal?: AbortSignal | undefined;
  attempts?: Attempts | undefined;
}

/** The stream was cut, and what was sent cannot be read again. The cause is the error of grpc-js. */
export class SourceLost extends Error {
  override readonly name = "SourceLost";
}

/** There is no attempt left, or no time for one. The cause is the last error of grpc-js. */
export class GaveUp extends Error {
  override readonly name = "GaveUp";
}

// How long the status of a stream may come after `done`.
const STATUS_MS = 1000;

/** A client without the library's own retries, which know nothing of ordinals. `options` go before those here. */
export function connect(
  server: string,
  channel: ChannelCredentials = credentials.createInsecure(),
  options: ChannelOptions = {},
): ExtractionServiceClient {
  return new ExtractionServiceClient(server, channel, {
    "grpc.enable_retries": 0,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
    // A connection that died without a word is found also while nothing is written.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 20_000,
    ...options,
  });
}

/** The events of a document, and what comes between them. Each part ends with its own `done`. */
export async function* extract(
  client: ExtractionServiceClient,
  config: Config,
  document: Document,
  options: Options = {},
): AsyncGenerator<Told, void, undefined> {
  const extraction = new Extraction(client, config, await sourceOf(document), options);
  const close = () => void extraction.source.close();
  options.signal?.addEventListener("abort", close);
  try {
    yield* extraction.parts();
  } finally {
    options.signal?.removeEventListener("abort", close);
    await extraction.source.close();
  }
}

class Extraction {
  readonly #handed = new Handed();
  readonly #attempts: Attempts;
  readonly #deadline: number;

  constructor(
    readonly client: ExtractionServiceClient,
    readonly config: Config,
    readonly source: Source,
    readonly options: Options,
  ) {
    this.#attempts = options.attempts ?? new Attempts();
    this.#deadline = performance.now() + (options.timeoutMs ?? Infinity);
  }

  async *parts(): AsyncGenerator<Told, void, undefined> {
    for (let number = 1; ; number += 1) {
      yield* this.#part();
      const start = await this.source.nextPart(this.#deadline);
      this.options.signal?.throwIfAborted();
      if (!start) return;
      this.#attempts.parts += 1;
      this.#handed.startPart(start);
      yield { type: "part", number: number + 1, start };
    }
  }

  /** One part, as often as it takes. */
  async *#part(): AsyncGenerator<Told, void, undefined> {
    for (let number = 1; ; number += 1) {
      this.options.signal?.throwIfAborted();
      this.#attempts.attempts += 1;
      try {
        return yield* this.#attempt();
      } catch (error) {
        this.options.signal?.throwIfAborted();
        if (error instanceof SourceFailed) throw error.cause;
        if (!isRpcError(error)) throw error;
        await this.#waitAfter(error, number);
      }
      this.#attempts.restarts += 1;
    }
  }

  async #waitAfter(error: ServiceError, number: number): Promise<void> {
    const delay = delayBeforeNext(error, number, Math.random());
    if (delay === undefined) throw error;
    if (this.source.sent === 0) this.#attempts.refused += 1;
    if (!(await this.source.goBack())) {
      throw new SourceLost(`the stream was cut, and its source cannot be read twice: ${error.details}`, { cause: error });
    }
    if (number === ATTEMPTS_MAX) {
      throw new GaveUp(`gave up after ${ATTEMPTS_MAX} attempts: ${error.details}`, { cause: error });
    }
    if (performance.now() + delay >= this.#deadline) {
      throw new GaveUp(`the timeout leaves no time for another attempt: ${error.details}`, { cause: error });
    }
    const { signal } = this.options;
    await sleep(delay, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }

  /** One stream. The document is written while this reads, so that neither waits for ever. */
  async *#attempt(): AsyncGenerator<Told, void, undefined> {
    const stream = new Stream(this.client, this.config, this.source, this.options, this.#deadline);
    try {
      for await (const { event } of stream.call) {
        if (!event) continue;
        if (event.kind?.$case === "ready") {
          const { instance, fingerprint } = event.kind.value;
          this.#attempts.instances.push(instance);
          if (this.#handed.goOn(fingerprint)) {
            this.#attempts.discards += 1;
            yield { type: "discard", fingerprint };
          }
          stream.accepted();
        } else if (event.kind?.$case === "draining" && !this.source.drain()) {
          throw cut("the server stops, and was sent nothing yet");
        }
        if (event.kind?.$case === "done") await stream.status();
        if (this.#handed.keepNews(event)) yield { type: "event", event };
        if (event.kind?.$case === "done") return;
      }
      throw cut("the server ended the stream before the document was done");
    } catch (error) {
      throw stream.failed ?? error;
    } finally {
      await stream.close(); // also when the caller leaves the loop
    }
  }
}

/** What the source threw. It may itself be the error of a call, of another service. */
class SourceFailed {
  constructor(readonly cause: unknown) {}
}

type Call = ClientDuplexStream<ExtractStreamRequest, ExtractStreamResponse>;

class Stream {
  readonly call: Call;
  failed: SourceFailed | undefined;
  readonly #source: Source;
  readonly #signal: AbortSignal | undefined;
  readonly #cancel = () => this.call.cancel();
  #ended = false;
  /** Of a write that waits. One for all writes: what waits for the status by itself would be kept until it comes. */
  #goOn = () => {};
  #writing: Promise<void> | undefined;

  constructor(client: ExtractionServiceClient, config: Config, source: Source, options: Options, deadline: number) {
    const metadata = new Metadata();
    if (options.apiKey) metadata.set("authorization", `Bearer ${options.apiKey}`);
    const left = deadline - performance.now();
    this.call = client.extractStream(metadata, Number.isFinite(left) ? { deadline: Date.now() + left } : {});
    this.call.once("status", () => {
      this.#ended = true;
      this.#goOn();
    });
    this.call.on("drain", () => this.#goOn());
    // The error reaches whoever reads; one that comes when nobody reads any more would end the program.
    this.call.on("error", () => {});
    this.#source = source;
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#cancel);
    this.call.write({ kind: { $case: "config", value: config } });
  }

  /** Nothing is taken from the source before the server accepts the document. */
  accepted(): void {
    if (this.#writing) return;
    this.#source.begin();
    this.#writing = this.#write().catch((cause: unknown) => {
      this.failed = new SourceFailed(cause);
      this.call.cancel();
    });
  }

  /** Waits for the status, because what is cancelled before is a reset to the proxies between. */
  async status(): Promise<void> {
    if (this.#ended) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, STATUS_MS);
      this.call.once("status", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#cancel);
    this.#source.leave();
    this.call.cancel();
    await this.#writing;
  }

  async #write(): Promise<void> {
    let next = await this.#source.take();
    for (; typeof next !== "string"; next = await this.#source.take()) {
      await this.#send({ $case: "chunk", value: Chunk.create({ data: next }) });
    }
    if (next === "left") return;
    if (next === "drained") await this.#send({ $case: "flush", value: {} });
    const totalBytes = this.#source.sent;
    await this.#send({ $case: "finish", value: { optionalTotalBytes: { $case: "totalBytes", value: totalBytes } } });
    this.call.end();
  }

  /** Waits until the library takes more, or the stream is over. */
  async #send(kind: ExtractStreamRequest["kind"]): Promise<void> {
    if (this.call.write({ kind }) || this.#ended) return;
    await new Promise<void>((resolve) => (this.#goOn = resolve));
  }
}
