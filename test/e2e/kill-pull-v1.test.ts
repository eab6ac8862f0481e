import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { IMGTOOL, imgtool, mountNew } from '../helpers/imgtool.js';
import { bytesUnderWay } from '../helpers/tcp-queue.js';
import { writeTar } from '../helpers/tar-writer.js';
import { V1Registry, type V1Seen } from '../helpers/v1-registry.js';
import { listTree } from '../helpers/tree-listing.js';

/** What a kill may cost: bytes on their way in sockets and in the blocks not yet written. */
const TAIL = 1 << 20;
const LAYER_BYTES = 6 << 20;
const PIECE_BYTES = 64 * 1024;
const KILLS = 3;

describe('pull by protocol v1, killed', () => {
  it(`SIGKILL at ${KILLS} random moments, then pull: right tree, no byte twice but a tail, nothing left`, async function () {
    this.timeout(400_000);
    const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
    console.log(`      SEED=${seed}`);
    const layers = ['a', 'b', 'c'].map((name) =>
      gzipSync(writeTar([{ path: name, content: randomBytes(LAYER_BYTES) }]), { level: 1 }),
    );
    const transfers: { readonly id: string; readonly start: number; sent: number }[] = [];
    // What is sent to a process while it dies is lost as well, and nobody could say how much that was.
    let held = false;
    /** Sends a layer slowly, and keeps count. */
    const intercept = async ({ path, headers }: V1Seen, response: ServerResponse): Promise<boolean> => {
      const [, id] = /^images\/(\w+)\/layer$/.exec(path) ?? [];
      if (id === undefined) return false;
      const layer = registry.images.get(id)!.layer!;
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
      const start = Number(first ?? 0);
      if (last !== undefined && Number(last) !== layer.length - 1)
        registry.faults.push(`${headers.range} of ${layer.length}`);
      const transfer = { id, start, sent: 0 };
      transfers.push(transfer);
      response.writeHead(first === undefined ? 200 : 206, {
        'accept-ranges': 'bytes',
        'content-length': layer.length - start,
        'content-range': `${start}-${layer.length - 1}/${layer.length}`,
      });
      response.flushHeaders();
      for (let at = start; at < layer.length && !response.destroyed; at += PIECE_BYTES) {
        const piece = layer.subarray(at, at + PIECE_BYTES);
        await new Promise((resolve) => response.write(piece, resolve));
        transfer.sent += piece.length;
        do await sleep(5);
        while (held && !response.destroyed);
      }
      response.end();
      return true;
    };
    const registry = await V1Registry.start({ intercept });
    try {
      registry.add(
        'a/b',
        '1',
        layers.map((layer, at) => ({ id: String(at + 1).repeat(64), layer })),
      );
      const root = join(btrfsDirectory('v1-kill'), 'store');
      const reference = `docker-v1://${registry.host}/a/b:1`;
      let lost = 0;
      let lostBefore = 0;
      const ends = new Map<string, number>();
      /** Each request since then starts where the earlier ones ended, less what the last kill may have cost. */
      const checkStarts = (since: number): void => {
        for (const { id, start, sent } of transfers.slice(since)) {
          expect((ends.get(id) ?? 0) - start, 'bytes fetched again').to.be.at.most(lostBefore);
          ends.set(id, Math.max(ends.get(id) ?? 0, start + sent));
        }
        lostBefore += lost;
      };
      for (let kill = 0; kill < KILLS; kill++) {
        // Counted from the first byte of a layer: before that there is nothing to lose.
        const before = transfers.length;
        const child = spawn(IMGTOOL, ['--root', root, '--progress', 'none', 'pull', reference], { stdio: 'ignore' });
        const exit = once(child, 'exit');
        const moment = ((seed >>> (kill * 5)) % 32) * 12;
        while (transfers.length === before && child.exitCode === null) await sleep(5);
        await Promise.race([exit, sleep(moment)]);
        held = true;
        lost = TAIL + bytesUnderWay(Number(registry.host.split(':')[1]));
        child.kill('SIGKILL');
        await exit;
        held = false;
        checkStarts(before);
      }
      const last = transfers.length;
      const id = await imgtool(root, 'pull', reference);
      const tree = listTree(await mountNew(root, id), { withoutRoot: true, content: false });
      expect([...tree.keys()]).to.deep.equal(['a', 'b', 'c']);
      expect(await readdir(join(root, 'ingest'), { recursive: true })).to.deep.equal([]);

      checkStarts(last);
      const whole = transfers.filter(
        ({ start, sent, id: layer }) => start + sent === registry.images.get(layer)!.layer!.length,
      );
      expect(whole, 'layers fetched to the end').to.have.length.at.least(layers.length);
      registry.verify();
    } finally {
      await registry.close();
    }
  });
});
