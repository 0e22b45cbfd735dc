// Prints one line a mention: task ordinal start end label_index score_bits. README.md has the contract.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { type ChannelCredentials, credentials, status } from "@grpc/grpc-js";

import { Attempts, Config, connect, extract } from "./client.js";
import type { Mention } from "./gen/gleand/v1/results.js";
import { isRpcError } from "./retry.js";

const USAGE = `usage: gleand-client --labels NAME,... [--server HOST:PORT] [--timeout SECONDS] [--api-key-file FILE]
                     [--tls | --ca FILE [--cert FILE --key FILE]] [--stats] FILE
FILE is the document; - reads standard input, once.`;

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      server: { type: "string", default: "127.0.0.1:50051" },
      labels: { type: "string" },
      timeout: { type: "string" },
      "api-key-file": { type: "string" },
      tls: { type: "boolean", default: false },
      ca: { type: "string" },
      cert: { type: "string" },
      key: { type: "string" },
      stats: { type: "boolean", default: false },
    },
  });
  const [file, ...more] = positionals;
  const seconds = values.timeout === undefined ? undefined : Number(values.timeout || NaN);
  if (!file || more.length > 0 || !values.labels || (seconds !== undefined && !(seconds >= 0))) throw new Error("usage");
  return { ...values, labels: values.labels.split(","), file, timeoutMs: seconds && seconds * 1000 };
}

type Arguments = ReturnType<typeof parse>;

async function credentialsFor({ tls, ca, cert, key }: Arguments): Promise<ChannelCredentials> {
  if (!tls && !ca && !cert && !key) return credentials.createInsecure();
  const [caPem, keyPem, certPem] = await Promise.all([ca, key, cert].map((path) => (path ? readFile(path) : null)));
  return credentials.createSsl(caPem, keyPem, certPem);
}

async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
}

function lineOf({ taskId, ordinal, byteRange, labelIndex, score }: Mention): string {
  const bits = Buffer.alloc(4);
  bits.writeFloatBE(score);
  return [taskId, ordinal, byteRange?.start, byteRange?.end, labelIndex, bits.toString("hex")].join(" ");
}

async function run(options: Arguments, attempts: Attempts): Promise<void> {
  const client = connect(options.server, await credentialsFor(options));
  const apiKey = options["api-key-file"] && (await readFile(options["api-key-file"], "utf8")).trim();
  const labels = options.labels.map((name) => ({ name }));
  const config = Config.fromPartial({ tasks: [{ id: "entities", kind: { $case: "entities", value: { labels } } }] });
  const document = options.file === "-" ? process.stdin : { path: options.file };
  try {
    for await (const told of extract(client, config, document, { apiKey, timeoutMs: options.timeoutMs, attempts })) {
      if (told.type === "discard") await print("discard");
      if (told.type !== "event" || told.event.kind?.$case !== "mentions") continue;
      for (const mention of told.event.kind.value.mentions) await print(lineOf(mention));
    }
  } finally {
    client.close();
    if (options.file === "-") process.stdin.destroy(); // a read that waits would keep the program
  }
}

function messageOf(error: unknown): string {
  if (isRpcError(error)) return `${status[error.code]}: ${error.details}`;
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<number> {
  let options: Arguments;
  try {
    options = parse();
  } catch {
    console.error(USAGE);
    return 2;
  }
  const attempts = new Attempts();
  let code = 0;
  try {
    await run(options, attempts);
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    code = 1;
  }
  if (options.stats) {
    console.error(Object.entries(attempts).map(([name, value]) => `${name}=${value}`).join(" "));
  }
  return code;
}

process.exitCode = await main();
