import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { basename } from 'node:path';
import type { BenchImage } from './image.js';

/** What a socket reads into, again and again. Bytes. */
const BUFFER_BYTES = 256 * 1024;

/**
 * Passes the layers of `image` on to the registry `to` (`HOST:PORT`), all at once, over plain sockets, and hashes them: what is
 * left of a copy when the client costs next to nothing. Resolves with the seconds it took, without the start of a program.
 * Throws when the registry does not take a layer.
 */
export async function bareCopy(image: BenchImage, to: string): Promise<number> {
  const started = performance.now();
  const [from, repository] = splitHost(image.reference.slice(0, image.reference.lastIndexOf(':')));
  await Promise.all(
    image.layers.map(async (path) => {
      const digest = `sha256:${basename(path)}`;
      const size = statSync(path).size;
      const begun = await fetch(`http://${to}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
      const place = new URL(begun.headers.get('location')!, `http://${to}`);
      place.searchParams.set('digest', digest);
      const target = openSocket(to);
      target.write(`${head('PUT', `${place.pathname}${place.search}`, to)}Content-Length: ${size}\r\n\r\n`);
      const answer = once(target, 'data') as Promise<[Buffer]>;
      const found = await pass(`/v2/${repository}/blobs/${digest}`, from, target);
      const status = (await answer)[0].toString('latin1', 9, 12);
      target.destroy();
      if (status !== '201' || found !== digest)
        throw new Error(`${digest} came as ${found}, and was answered ${status}`);
    }),
  );
  return (performance.now() - started) / 1000;
}

/** Gets `path` and writes its body to `target`; the digest of what came. */
async function pass(path: string, host: string, target: Socket): Promise<string> {
  const hash = createHash('sha256');
  let inBody = false;
  const source: Socket = openSocket(host, (piece) => {
    const body = inBody ? piece : piece.subarray(piece.indexOf('\r\n\r\n') + 4);
    inBody = true;
    hash.update(body);
    target.write(body);
    // Nothing waits: the bytes are with the kernel, and the buffer can be read into again.
    if (target.writableLength === 0) return true;
    target.once('drain', () => source.resume());
    return false;
  });
  source.write(`${head('GET', path, host)}\r\n`);
  await once(source, 'end');
  return `sha256:${hash.digest('hex')}`;
}

function openSocket(address: string, onPiece?: (piece: Buffer) => boolean): Socket {
  const [host, port] = address.split(':') as [string, string];
  if (onPiece === undefined) return connect({ host, port: Number(port) });
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  const callback = (bytes: number): boolean => onPiece(buffer.subarray(0, bytes));
  return connect({ host, port: Number(port), onread: { buffer, callback } });
}

function head(method: string, path: string, host: string): string {
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n`;
}

function splitHost(name: string): [host: string, repository: string] {
  const slash = name.indexOf('/');
  return [name.slice(0, slash), name.slice(slash + 1)];
}
