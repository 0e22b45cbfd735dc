// Where the bytes of a document come from.

import { type FileHandle, open } from "node:fs/promises";

import { late } from "./retry.js";

/** A position in the whole input, in the three units in which gleand counts. */
export interface Place {
  bytes: number;
  codepoints: number;
  utf16: number;
}

/**
 * A document: text, bytes, a regular file, or bytes that are read once. A `Readable` is such an iterable. The first three are
 * sent again where need be, so a file must not change meanwhile.
 */
export type Document = string | Uint8Array | { path: string | URL } | AsyncIterable<Uint8Array>;

/** Why there are no more bytes for a stream. */
export type End = "end" | "drained" | "left";

/** The document of one extraction. The writer of a stream calls `take`; it has ended before the next stream begins. */
export interface Source {
  /** Bytes of this document that were taken. */
  readonly sent: number;
  /** A stream was accepted. */
  begin(): void;
  take(): Promise<Buffer | End>;
  /** The server is about to stop. False where it was sent nothing: then another one may have all. */
  drain(): boolean;
  /** The stream has ended: `take` answers "left", also where it waits. */
  leave(): void;
  /** Makes ready to be sent again from the start of this document. False where that cannot be. */
  goBack(): Promise<boolean>;
  /**
   * Where the next document of this source starts, once there is anything of it; undefined at the end. Throws after `deadline`,
   * a time of `performance.now()`.
   */
  nextPart(deadline: number): Promise<Place | undefined>;
  /** Nothing is taken any more. */
  close(): Promise<void>;
}

const CHUNK_BYTES = 64 << 10;
// A timer of Node's cannot wait longer.
const TIMER_MS_MAX = 2 ** 31 - 1;
// A word whose end is not known yet is held back, so that a document may end wherever it was sent to; a longer one is not.
const WORD_BYTES_MAX = 64;
const BLANKS = new Set(Buffer.from(" \t\n\r\f"));

export async function sourceOf(document: Document): Promise<Source> {
  if (typeof document === "string") return new BytesSource(Buffer.from(document));
  if (document instanceof Uint8Array) return new BytesSource(document);
  if (!("path" in document)) return new OnceSource(document);
  const file = await open(document.path);
  return new FileSource(file, await stateOf(file));
}

/** What can be read again: draining means nothing to it, because it is read to the end here or sent anew elsewhere. */
abstract class Again implements Source {
  sent = 0;
  #left = false;

  protected abstract read(): Promise<Buffer>;

  begin(): void {
    this.#left = false;
  }

  async take(): Promise<Buffer | End> {
    if (this.#left) return "left";
    const chunk = await this.read();
    this.sent += chunk.length;
    return chunk.length > 0 ? chunk : "end";
  }

  drain(): boolean {
    return true;
  }

  leave(): void {
    this.#left = true;
  }

  async goBack(): Promise<boolean> {
    this.sent = 0;
    return true;
  }

  async nextPart(): Promise<undefined> {}

  async close(): Promise<void> {}
}

class BytesSource extends Again {
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    super();
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  protected async read(): Promise<Buffer> {
    return this.#bytes.subarray(this.sent, this.sent + CHUNK_BYTES);
  }
}

class FileSource extends Again {
  constructor(
    readonly file: FileHandle,
    readonly state: string,
  ) {
    super();
  }

  protected async read(): Promise<Buffer> {
    const { buffer, bytesRead } = await this.file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, this.sent);
    return buffer.subarray(0, bytesRead);
  }

  override async goBack(): Promise<boolean> {
    if ((await stateOf(this.file)) !== this.state) throw new Error("the file has changed since it was read first");
    return super.goBack();
  }

  override async close(): Promise<void> {
    await this.file.close();
  }
}

async function stateOf(file: FileHandle): Promise<string> {
  const { size, mtimeNs } = await file.stat({ bigint: true });
  return `${size} ${mtimeNs}`;
}

/** Read a chunk ahead, so that `drain` need not wait for it. */
class OnceSource implements Source {
  sent = 0;
  #waiting = Buffer.alloc(0);
  #reading: AsyncIterator<Uint8Array> | undefined;
  #failed: { cause: unknown } | undefined;
  #ended = false;
  #closed = false;
  #draining = false;
  #left = false;
  #wake: (() => void)[] = [];
  readonly #counter = new TextCounter();

  constructor(readonly pieces: AsyncIterable<Uint8Array>) {}

  begin(): void {
    this.#draining = this.#left = false;
    if (this.#reading || this.#ended || this.#closed) return;
    void this.#readAhead();
  }

  async #readAhead(): Promise<void> {
    try {
      const reading = (this.#reading = this.pieces[Symbol.asyncIterator]());
      for (let next = await reading.next(); !next.done && !this.#closed; next = await reading.next()) {
        this.#waiting = Buffer.concat([this.#waiting, next.value]);
        this.#changed();
        await this.#until(() => this.#closed || this.#waiting.length < CHUNK_BYTES);
      }
    } catch (cause) {
      this.#failed = { cause }; // told by whoever takes next
    }
    this.#ended = true;
    this.#changed();
  }

  async take(): Promise<Buffer | End> {
    await this.#until(() => this.#left || this.#draining || this.#ended || wholeWords(this.#waiting, false) > 0);
    if (this.#left) return "left";
    if (this.#draining) return "drained";
    if (this.#waiting.length === 0) {
      if (this.#failed) throw this.#failed.cause;
      return "end";
    }
    const count = wholeWords(this.#waiting, this.#ended);
    const chunk = this.#waiting.subarray(0, count);
    this.#waiting = this.#waiting.subarray(count);
    this.#counter.add(chunk);
    this.sent += count;
    this.#changed();
    return chunk;
  }

  drain(): boolean {
    this.#draining = true;
    this.#changed();
    return this.sent > 0;
  }

  leave(): void {
    this.#left = true;
    this.#changed();
  }

  async goBack(): Promise<boolean> {
    return this.sent === 0;
  }

  async nextPart(deadline: number): Promise<Place | undefined> {
    let isLate = false;
    const expire = () => {
      isLate = true;
      this.#changed();
    };
    const left = deadline - performance.now();
    const timer = left <= TIMER_MS_MAX ? setTimeout(expire, left) : undefined;
    const isKnown = () => this.#ended || this.#closed || this.#waiting.length > 0;
    await this.#until(() => isLate || isKnown());
    clearTimeout(timer);
    if (!isKnown()) throw late();
    if (this.#waiting.length === 0) {
      if (this.#failed) throw this.#failed.cause;
      return undefined;
    }
    this.sent = 0;
    this.#counter.endDocument();
    return { ...this.#counter.place };
  }

  /** Tells the iterable, without waiting for a piece that may never come. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#changed();
    this.#reading?.return?.().catch(() => {});
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/**
 * How many bytes of `waiting` may be sent so that a document may end behind them: no code point is cut, and no word unless it is
 * long. `ended`: nothing follows `waiting`.
 */
export function wholeWords(waiting: Buffer, ended: boolean): number {
  const text = waiting.subarray(0, CHUNK_BYTES);
  if (ended && text.length === waiting.length) return text.length;
  const last = text.subarray(-WORD_BYTES_MAX);
  const blank = last.findLastIndex((byte) => BLANKS.has(byte));
  if (blank >= 0) return text.length - last.length + blank + 1;
  if (text.length < WORD_BYTES_MAX) return 0;
  // A code point that is not whole yet: one to three bytes from its lead byte on.
  for (const [index, lead] of [...text.subarray(-3)].reverse().entries()) {
    if (lead >= 0xc0) {
      const whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
      return whole > index + 1 ? text.length - index - 1 : text.length;
    }
  }
  return text.length;
}

/** Counts text that comes in pieces. Each maximal part that is not UTF-8 counts as one U+FFFD, as gleand counts it. */
export class TextCounter {
  readonly place: Place = { bytes: 0, codepoints: 0, utf16: 0 };
  // A byte order mark is a code point like any other.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  add(bytes: Uint8Array): void {
    this.place.bytes += bytes.length;
    this.#count(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What follows is a document of its own. */
  endDocument(): void {
    this.#count(this.#decoder.decode());
  }

  #count(text: string): void {
    this.place.utf16 += text.length;
    for (const _ of text) this.place.codepoints += 1;
  }
}
