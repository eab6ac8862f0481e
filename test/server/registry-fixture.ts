import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRegistryServer, type RunningServer, type ServerOptions } from '../../lib/server/index.js';
import { digestOf, MEDIA_TYPE, type Descriptor, type Digest } from '../../lib/spec/index.js';

/** An answer, read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What a request carries. */
export interface Sending {
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
}

/** A server on a directory of its own, and a client that sends paths exactly as given. */
export class RegistryFixture {
  readonly dir: string;
  server: RunningServer;

  private constructor(dir: string, server: RunningServer) {
    this.dir = dir;
    this.server = server;
  }

  static async start(options: Partial<ServerOptions> = {}): Promise<RegistryFixture> {
    const dir = await mkdtemp(join(tmpdir(), 'imgtool-server-'));
    return new RegistryFixture(dir, await startRegistryServer({ dir, ...options }));
  }

  /** Stops the server and starts another on the same directory. */
  async restart(options: Partial<ServerOptions> = {}): Promise<void> {
    await this.server.close();
    this.server = await startRegistryServer({ dir: this.dir, ...options });
  }

  async stop(): Promise<void> {
    await this.server.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  send(method: string, path: string, { headers = {}, body }: Sending = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { host, port } = this.server;
      const length =
        body === undefined || 'transfer-encoding' in headers ? {} : { 'content-length': Buffer.byteLength(body) };
      const request = httpRequest({ method, host, port, path, headers: { ...length, ...headers }, agent: false });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        );
      });
      request.end(body);
    });
  }

  /** Pushes a blob in one POST. */
  async pushBlob(repository: string, bytes: Buffer): Promise<Descriptor> {
    const digest = digestOf(bytes);
    const { status } = await this.send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    if (status !== 201) throw new Error(`pushing a blob was answered with ${status}`);
    return { mediaType: MEDIA_TYPE.ociLayer, digest, size: bytes.length };
  }

  putManifest(repository: string, reference: string, bytes: Buffer, mediaType: string = MEDIA_TYPE.ociManifest) {
    return this.send('PUT', `/v2/${repository}/manifests/${reference}`, {
      body: bytes,
      headers: { 'content-type': mediaType },
    });
  }

  /** Pushes an image of one layer by tag. */
  async pushImage(repository: string, tag: string, content: string): Promise<{ digest: Digest; bytes: Buffer }> {
    const config = await this.pushBlob(repository, Buffer.from(JSON.stringify({ config: content })));
    const layer = await this.pushBlob(repository, Buffer.from(content));
    const bytes = manifestOf({ config, layers: [layer] });
    const answer = await this.putManifest(repository, tag, bytes);
    if (answer.status !== 201) throw new Error(`pushing a manifest was answered with ${answer.status}: ${answer.body}`);
    return { digest: digestOf(bytes), bytes };
  }

  /** All files below the directory, relative, sorted. */
  async files(): Promise<string[]> {
    const entries = await readdir(this.dir, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.dir.length + 1))
      .sort();
  }
}

/** An OCI image manifest with these fields; the config stands for itself in `config.mediaType`. */
export function manifestOf(fields: {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly [more: string]: unknown;
}): Buffer {
  const { config, ...rest } = fields;
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { ...config, mediaType: MEDIA_TYPE.ociConfig },
      ...rest,
    }),
  );
}

/** The code of the first error in an answer's body (distribution-spec, "Error Codes"). */
export function errorCode({ body }: Answer): string | undefined {
  return (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code;
}
