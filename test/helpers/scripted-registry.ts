/** A strict HTTP server that follows a script: requests that no step expects, and steps never asked for, fail the test. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is sent back, and what goes wrong on the way. */
export interface Reply {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  /** Sent instead of the body's true length; `none` sends it chunked. */
  readonly contentLength?: number | 'none';
  /** Bytes of the body after which the connection is destroyed. */
  readonly cutAt?: number;
  /** Bytes of the body after which nothing more comes. */
  readonly stallAt?: number;
  /** Bytes a write, each its own packet. */
  readonly pieces?: number;
  /** Milliseconds before the head. */
  readonly delayMs?: number;
  /** Destroys the connection before any answer. */
  readonly reset?: boolean;
}

/** A request as it arrived. */
export interface Seen {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One step of a script: which request it expects and what it answers. Steps for the same request are used in order. */
export interface Step {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Request headers that must be there with these values; `undefined`: must not be there. */
  readonly expect?: Record<string, string | RegExp | undefined>;
  readonly reply: Reply | ((seen: Seen) => Reply);
  /** How often; default once. */
  readonly times?: number;
  /** May stay unused: whether it is asked for depends on what is faster. */
  readonly optional?: boolean;
}

/** A running script. */
export interface ScriptedServer {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  readonly url: string;
  /** Requests so far, oldest first. */
  readonly requests: readonly Seen[];
  /** Adds steps, for paths that are known only once the server runs. */
  add(...steps: readonly Step[]): void;
  /** Throws when a request was unexpected or a step was not used. */
  verify(): void;
  close(): Promise<void>;
}

/** Starts a scripted server on a free loopback port; close it in `afterEach`. With `tls` (PEM) it speaks https. */
export async function startScript(
  steps: readonly Step[] = [],
  tls?: { readonly key: string; readonly cert: string },
): Promise<ScriptedServer> {
  const requests: Seen[] = [];
  const faults: string[] = [];
  const left = steps.map((step) => ({ step, times: step.times ?? 1 }));
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { method = '', url: path = '', headers } = request;
    const seen: Seen = { method, path, headers, body: Buffer.concat(chunks) };
    requests.push(seen);
    const found = left.find(({ step, times }) => times > 0 && step.method === method && step.path === path);
    if (found === undefined) {
      faults.push(`unexpected ${method} ${path}`);
      response.writeHead(599).end();
      return;
    }
    found.times--;
    for (const [name, want] of Object.entries(found.step.expect ?? {})) {
      const value = headers[name];
      const fits = want instanceof RegExp ? want.test(String(value)) : value === want;
      if (!fits) faults.push(`${method} ${path} has ${name}: ${String(value)}, not ${String(want)}`);
    }
    const { reply } = found.step;
    await answer(response, method, typeof reply === 'function' ? reply(seen) : reply);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // A client that goes away in the middle is part of many scripts.
    handle(request, response).catch(() => response.destroy());
  };
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;
  return {
    host,
    url: `${tls === undefined ? 'http' : 'https'}://${host}`,
    requests,
    add: (...more) => left.push(...more.map((step) => ({ step, times: step.times ?? 1 }))),
    verify: () => {
      const unused = left
        .filter(({ step, times }) => times > 0 && step.optional !== true)
        .map(({ step }) => `unused ${step.method} ${step.path}`);
      if (faults.length + unused.length > 0) throw new Error([...faults, ...unused].join('; '));
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer(response: ServerResponse, method: string, reply: Reply): Promise<void> {
  if (reply.delayMs !== undefined) await sleep(reply.delayMs);
  if (reply.reset === true) {
    response.socket?.resetAndDestroy();
    return;
  }
  const body = Buffer.from(reply.body ?? '');
  const length = reply.contentLength ?? body.length;
  const implied = reply.headers !== undefined && 'content-length' in reply.headers;
  response.writeHead(reply.status ?? 200, {
    ...(length === 'none' || implied ? {} : { 'content-length': length }),
    ...reply.headers,
  });
  if (method === 'HEAD') {
    response.end();
    return;
  }
  const end = reply.cutAt ?? reply.stallAt ?? body.length;
  const step = reply.pieces ?? Math.max(1, end);
  response.flushHeaders();
  response.socket?.setNoDelay(true);
  for (let at = 0; at < end && !response.destroyed; at += step) {
    const more = response.write(body.subarray(at, Math.min(end, at + step)));
    if (reply.pieces !== undefined) await sleep(0);
    else if (!more) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }
  if (reply.stallAt !== undefined) return;
  if (reply.cutAt !== undefined || (typeof length === 'number' && length > body.length)) {
    // Let what was written reach the client before the end does.
    await sleep(20);
    response.socket?.destroy();
    return;
  }
  response.end();
}
