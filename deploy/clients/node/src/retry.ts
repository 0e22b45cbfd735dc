// When another attempt may help, and how long to wait before it.

import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

import { ErrorInfo, RetryInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

export const ATTEMPTS_MAX = 4;

const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 10_000;
// A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once.
const TOLD_JITTER = 0.2;

/** A failed call, as grpc-js tells it. */
export function isRpcError(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error && error.metadata instanceof Metadata;
}

/** A stream that ended too early without an error of the library's. */
export function cut(details: string): ServiceError {
  return rpcError(status.UNAVAILABLE, details);
}

/** The caller's timeout is over while no stream is open. */
export function late(): ServiceError {
  return rpcError(status.DEADLINE_EXCEEDED, "the timeout is over, and the source has told neither more nor its end");
}

function rpcError(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}

/**
 * Milliseconds until the next attempt after the failure of attempt `number` (from 1); undefined where it would be of no use.
 * `random` is a number from [0, 1).
 */
export function delayBeforeNext(
  error: Pick<ServiceError, "code" | "metadata">,
  number: number,
  random: number,
): number | undefined {
  let reason = "";
  let told: number | undefined;
  const [details] = error.metadata.get("grpc-status-details-bin");
  for (const detail of details instanceof Buffer ? Status.decode(details).details : []) {
    if (detail.typeUrl.endsWith("/google.rpc.ErrorInfo")) {
      reason = ErrorInfo.decode(detail.value).reason;
    } else if (detail.typeUrl.endsWith("/google.rpc.RetryInfo")) {
      const delay = RetryInfo.decode(detail.value).retryDelay;
      told = (delay?.seconds ?? 0) * 1000 + (delay?.nanos ?? 0) / 1e6;
    }
  }

  const refused =
    error.code === status.UNAVAILABLE || (error.code === status.RESOURCE_EXHAUSTED && reason === "QUEUE_FULL");
  // Every error of the server has a reason: without one the connection broke.
  const broken = (error.code === status.UNKNOWN || error.code === status.INTERNAL) && reason === "";
  if (!refused && !broken) return undefined;
  const [pushback] = error.metadata.get("grpc-retry-pushback-ms");
  if (pushback !== undefined) {
    if (!/^[0-9]+$/.test(pushback.toString())) return undefined;
    told ??= Number(pushback);
  }
  if (told !== undefined) return told * (1 + TOLD_JITTER * random);
  return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (number - 1)) * random;
}
