import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { packLayer, type LayerChange, type PackedLayer } from '../../lib/layer/index.js';
import { digestOf } from '../../lib/spec/index.js';
import { setXattr } from '../../lib/sys/index.js';
import { listTree } from '../helpers/tree-listing.js';

const ROUNDS = 12;
const EDITS = 40;

/** Small generator with a seed (mulberry32): the same seed repeats a failure. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** One random edit of the tree: makes, replaces, removes, or changes metadata only. */
function edit(root: string, next: (below: number) => number): void {
  const below = fs.readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
  const dirs = [root, ...below.map((entry) => join(entry.parentPath, entry.name)).sort()];
  const path = join(dirs[next(dirs.length)]!, `n${next(8)}`);
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  const what = next(10);
  if (there !== undefined && what < 3) {
    if (!there.isSymbolicLink()) fs.chmodSync(path, 0o700 + next(64));
    fs.lchownSync(path, next(5000), next(3_000_000));
    fs.lutimesSync(path, next(2 ** 30), next(2 ** 30) + 0.25);
    if (there.isFile()) setXattr(path, 'user.k', Buffer.from([next(256), 0, 10]));
    return;
  }
  fs.rmSync(path, { recursive: true, force: true });
  if (what < 4) return;
  if (what < 6) fs.mkdirSync(path);
  else if (what === 6) fs.symlinkSync(`target${next(9)}`, path);
  else fs.writeFileSync(path, Buffer.alloc(next(3000), `${next(100)} `));
  if (what === 9) {
    fs.rmSync(`${path}-hard`, { force: true });
    fs.linkSync(path, `${path}-hard`);
  }
}

/** The naive diff: every path that looks different. */
function diff(lower: string | undefined, upper: string): LayerChange[] {
  const before = lower === undefined ? new Map<string, unknown>() : listTree(lower);
  const after = listTree(upper);
  const changes: LayerChange[] = [];
  const add = (kind: 'A' | 'C' | 'D', path: string): number =>
    changes.push({ kind, path: Buffer.from(path, 'latin1') });
  for (const [path, entry] of after) {
    const old = before.get(path);
    if (old === undefined) add('A', path);
    else if (JSON.stringify(old) !== JSON.stringify(entry)) add('C', path);
  }
  for (const path of before.keys()) {
    const parent = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.';
    if (!after.has(path) && after.get(parent)?.type === 'dir') add('D', path);
  }
  return changes;
}

async function pack(lower: string | undefined, upper: string): Promise<{ layer: PackedLayer; blob: Buffer }> {
  const output = new PassThrough();
  const chunks: Buffer[] = [];
  output.on('data', (chunk: Buffer) => chunks.push(chunk));
  const { signal } = new AbortController();
  const layer = await packLayer({ lower, upper, changes: diff(lower, upper), compression: 'gzip', output, signal });
  return { layer, blob: Buffer.concat(chunks) };
}

/** An OCI layout tagged `t` of the layers given. */
function writeLayout(layout: string, layers: readonly { layer: PackedLayer; blob: Buffer }[]): void {
  fs.mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const put = (bytes: Buffer, kind: string): object => {
    fs.writeFileSync(join(layout, 'blobs', digestOf(bytes).replace(':', '/')), bytes);
    return { mediaType: `application/vnd.oci.image.${kind}`, digest: digestOf(bytes), size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const rootfs = { type: 'layers', diff_ids: layers.map(({ layer }) => layer.diffId) };
  const config = put(json({ architecture: 'amd64', os: 'linux', config: {}, rootfs }), 'config.v1+json');
  const manifest = { schemaVersion: 2, config, layers: layers.map(({ blob }) => put(blob, 'layer.v1.tar+gzip')) };
  const annotations = { 'org.opencontainers.image.ref.name': 't' };
  const manifests = [{ ...put(json(manifest), 'manifest.v1+json'), annotations }];
  fs.writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  fs.writeFileSync(join(layout, 'index.json'), json({ schemaVersion: 2, manifests }));
}

describe('packLayer on random trees', () => {
  const seed = Number(process.env.IMGTOOL_TEST_SEED ?? randomInt(2 ** 31));

  it(`gives layers that umoci turns into the edited tree (IMGTOOL_TEST_SEED=${seed})`, async () => {
    const next = random(seed);
    for (let round = 0; round < ROUNDS; round++) {
      const dir = fs.mkdtempSync(join(tmpdir(), 'imgtool-pack-'));
      try {
        const [lower, upper, out] = ['lower', 'upper', 'out'].map((name) => join(dir, name)) as [
          string,
          string,
          string,
        ];
        fs.mkdirSync(lower);
        for (let i = 0; i < EDITS; i++) edit(lower, next);
        execFileSync('cp', ['-a', lower, upper]);
        for (let i = 0; i < EDITS; i++) edit(upper, next);
        writeLayout(join(dir, 'layout'), [await pack(undefined, lower), await pack(lower, upper)]);
        execFileSync('umoci', ['raw', 'unpack', '--image', `${join(dir, 'layout')}:t`, out], { stdio: 'pipe' });
        expect([...listTree(out)], `round ${round}`).to.deep.equal([...listTree(upper)]);
      } finally {
        fs.rmSync(dir, { recursive: true, force: true });
      }
    }
  });
});
