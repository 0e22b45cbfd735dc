// What the caller has: results that come again are dropped, those of a later part are moved to their place.

import type { Event } from "./gen/gleand/v1/events.js";
import type { Range, Relation, Results } from "./gen/gleand/v1/results.js";
import type { Place } from "./sources.js";

interface Ranges {
  byteRange?: Range | undefined;
  codepointRange?: Range | undefined;
  utf16Range?: Range | undefined;
}

type Result = { taskId: string; ordinal: number } & (Ranges | Relation);

export class Handed {
  #fingerprint: string | undefined;
  #start: Place = { bytes: 0, codepoints: 0, utf16: 0 };
  // By task: the ordinal that is expected next in this part, and the number of results in the parts before.
  #next = new Map<string, number>();
  readonly #before = new Map<string, number>();

  /** Whether a server with this fingerprint makes void what the caller has. */
  goOn(fingerprint: string): boolean {
    const changed = this.#fingerprint !== fingerprint;
    const isVoid = changed && this.#next.size > 0;
    if (changed) this.#next = new Map();
    this.#fingerprint = fingerprint;
    return isVoid;
  }

  startPart(start: Place): void {
    for (const [task, count] of this.#next) this.#before.set(task, (this.#before.get(task) ?? 0) + count);
    this.#next = new Map();
    this.#fingerprint = undefined;
    this.#start = start;
  }

  /** Makes of an event what the caller wants of it. False where there is nothing new in it. */
  keepNews({ kind }: Event): boolean {
    switch (kind?.$case) {
      case "mentions":
        return (kind.value.mentions = this.#keepNew(kind.value.mentions)).length > 0;
      case "relations":
        return (kind.value.relations = this.#keepNew(kind.value.relations)).length > 0;
      case "answers":
        return (kind.value.answers = this.#keepNew(kind.value.answers)).length > 0;
      case "summary":
        return (kind.value.spans = this.#keepNew(kind.value.spans)).length > 0;
      case "classes":
        return (kind.value.classes = this.#keepNew(kind.value.classes)).length > 0;
      case "interim":
        if (kind.value.results) this.#moveInterim(kind.value.results);
        return true;
      case "progress":
        kind.value.watermarkBytes += this.#start.bytes;
        kind.value.watermarkCodepoints += this.#start.codepoints;
        kind.value.receivedBytes += this.#start.bytes;
        return true;
      default:
        return true;
    }
  }

  #keepNew<R extends Result>(results: R[]): R[] {
    return results.filter((result) => {
      if (result.ordinal < (this.#next.get(result.taskId) ?? 0)) return false;
      this.#next.set(result.taskId, result.ordinal + 1);
      result.ordinal += this.#before.get(result.taskId) ?? 0;
      this.#move(result);
      return true;
    });
  }

  #moveInterim(results: Results): void {
    const { mentions, relations, answers, summarySpans, classes } = results;
    for (const result of [...mentions, ...relations, ...answers, ...summarySpans, ...classes]) this.#move(result);
  }

  #move(result: Ranges | Relation): void {
    for (const ranges of "head" in result ? [result.head, result.tail] : [result as Ranges]) {
      shift(ranges?.byteRange, this.#start.bytes);
      shift(ranges?.codepointRange, this.#start.codepoints);
      shift(ranges?.utf16Range, this.#start.utf16);
    }
  }
}

function shift(range: Range | undefined, by: number): void {
  if (!range) return;
  range.start += by;
  range.end += by;
}
