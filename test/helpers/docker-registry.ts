/** Debian's docker-registry (distribution 2.8) as a real peer: one process on a free loopback port, temporary storage. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** One answered request, as the registry's own log tells it. */
export interface LoggedRequest {
  readonly method: string;
  /** Path and query. */
  readonly uri: string;
  readonly status: number;
  /** Body bytes handed to the socket; for a client that went away this may be more than it read. */
  readonly written: number;
  readonly userAgent: string;
}

/** A running registry. `stop` ends the process and removes its files. */
export interface DockerRegistry {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Base URL without a slash at the end. */
  readonly url: string;
  readonly pid: number;
  /** Where blobs are kept; survives `stop` only when it was given. */
  readonly storage: string;
  /** Requests answered since the start or the last `forget`, oldest first; the probes of this helper are left out. */
  requests(): Promise<LoggedRequest[]>;
  /** Sets the count of `requests` back to nothing. */
  forget(): Promise<void>;
  stop(): Promise<void>;
}

/** Options of `startDockerRegistry`. */
export interface DockerRegistryOptions {
  /** Existing directory to keep blobs in; default: a temporary one, removed on `stop`. */
  readonly storage?: string;
  /** Top-level configuration sections to add or replace, e.g. `{ compatibility: { schema1: { enabled: true } } }`. */
  readonly config?: Record<string, unknown>;
  /** Scheme for `url`; `https` when `config.http.tls` is given. The probes do not check certificates' names. Default http. */
  readonly http?: { readonly tls: { readonly certificate: string; readonly key: string } };
}

const PROBE = 'imgtool-test-probe';

/** A port that was free a moment ago on 127.0.0.1. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts docker-registry and waits until it answers. Throws with the end of its log when it does not within a minute. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'imgtool-registry-'));
  const storage = options.storage ?? join(directory, 'storage');
  // Another process may take the free port first; then the registry ends at once and the next port is tried.
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return await launch(directory, storage, port, options);
    } catch (error) {
      if (attempt < 3) continue;
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }
}

async function launch(
  directory: string,
  storage: string,
  port: number,
  options: DockerRegistryOptions,
): Promise<DockerRegistry> {
  const host = `127.0.0.1:${port}`;
  const log = join(directory, 'log');
  const config = {
    version: '0.1',
    log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: host, ...options.http },
    ...options.config,
  };
  // JSON is YAML.
  await writeFile(join(directory, 'config.yml'), JSON.stringify(config));
  const script = 'exec docker-registry serve "$0" >"$1" 2>&1';
  const child = spawn('sh', ['-c', script, join(directory, 'config.yml'), log], {
    stdio: 'ignore',
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', killOnExit);
  const end = async (): Promise<void> => {
    process.off('exit', killOnExit);
    await stopChild(child);
  };
  try {
    await waitUntilListening(child, port, log);
  } catch (error) {
    await end();
    throw error;
  }

  const url = `${options.http === undefined ? 'http' : 'https'}://${host}`;
  let forgotten = 0;
  let probes = 0;
  const settledLog = async (): Promise<LoggedRequest[]> => {
    const mark = `/v2/?${PROBE}=${++probes}`;
    if (options.http === undefined) await (await fetch(url + mark)).arrayBuffer();
    for (let tries = 0; ; tries++) {
      // The line of a request is written just after its response: the probe's own line, or a pause, shows that it is there.
      if (options.http !== undefined) await sleep(100);
      const requests = parseLog(await readFile(log, 'utf8'));
      if (options.http !== undefined || requests.some((request) => request.uri === mark) || tries === 200)
        return requests.filter((request) => !request.uri.includes(PROBE));
      await sleep(10);
    }
  };
  return {
    host,
    url,
    pid: child.pid ?? 0,
    storage,
    requests: async () => (await settledLog()).slice(forgotten),
    forget: async () => void (forgotten = (await settledLog()).length),
    stop: async () => {
      await end();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Reads the "response completed" and "response completed with error" lines of a JSON log. */
function parseLog(text: string): LoggedRequest[] {
  const requests: LoggedRequest[] = [];
  for (const line of text.split('\n')) {
    if (!line.includes('"msg":"response completed')) continue;
    const entry = JSON.parse(line) as Record<string, string | number | undefined>;
    requests.push({
      method: String(entry['http.request.method']),
      uri: String(entry['http.request.uri']),
      status: Number(entry['http.response.status']),
      written: Number(entry['http.response.written'] ?? 0),
      userAgent: String(entry['http.request.useragent'] ?? ''),
    });
  }
  return requests;
}

async function waitUntilListening(child: ChildProcess, port: number, log: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline && child.exitCode === null) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open && child.exitCode === null) return;
    await sleep(20);
  }
  const tail = await readFile(log, 'utf8').catch(() => '');
  throw new Error(`docker-registry did not start on port ${port} (package docker-registry): ${tail.slice(-500)}`);
}

/** Ends a child process: SIGTERM, then SIGKILL after 3 s; resolves when it is gone. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await exit;
  clearTimeout(timer);
}
