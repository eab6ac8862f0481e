import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { IMGTOOL, startServe } from '../helpers/imgtool.js';
import { writeOciLayout, type LayerTable } from '../helpers/oci-layout.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { BUSYBOX } from '../helpers/small-image.js';

/** Images at a registry, archives and files for commands that are going to be killed. */
export interface World {
  readonly directory: string;
  /** `host:port` of the registry. It has `base:1`, `next:1` (one more layer) and `other:1`. */
  readonly registry: string;
  /** Docker archive with `next:1` as `local/loaded:1`, a tar of a root file system, and a file. */
  readonly archive: string;
  readonly tar: string;
  readonly file: string;
  close(): Promise<void>;
}

/** Makes the world. */
export async function createWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'imgtool-crash-'));
  const server = await startServe(join(directory, 'registry'));
  const layout = join(directory, 'layout');
  const layer = (name: string): LayerTable => ({
    entries: [
      { path: name, type: 'dir' },
      { path: `${name}/big`, content: randomBytes(1 << 20) },
      ...Array.from({ length: 40 }, (_, n) => ({ path: `${name}/${n}`, content: `${name} ${n}` })),
    ],
  });
  const busybox = { path: 'bin/busybox', mode: 0o755, content: await readFile(BUSYBOX) };
  const bottom: LayerTable = { entries: [{ path: 'bin', type: 'dir' }, busybox] };
  const [a, b, c] = [layer('a'), layer('b'), layer('c')];
  await writeOciLayout(layout, [
    { tag: 'base', layers: [bottom, a] },
    { tag: 'next', layers: [bottom, a, b] },
    { tag: 'other', layers: [bottom, c] },
  ]);
  for (const name of ['base', 'next', 'other'])
    await skopeoCopy(`oci:${layout}:${name}`, `docker://${server.host}/${name}:1`);
  const archive = join(directory, 'archive.tar');
  await skopeoCopy(`oci:${layout}:next`, `docker-archive:${archive}:local/loaded:1`);
  const tar = join(directory, 'rootfs.tar');
  await mkdir(join(directory, 'rootfs'));
  for (let n = 0; n < 40; n++) await writeFile(join(directory, 'rootfs', `file-${n}`), randomBytes(32 << 10));
  execFileSync('tar', ['-cf', tar, '-C', join(directory, 'rootfs'), '.']);
  const file = join(directory, 'file');
  await writeFile(file, randomBytes(1 << 20));
  return {
    directory,
    registry: server.host,
    archive,
    tar,
    file,
    close: async () => {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** How a command ended. */
export interface Ending {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program (after `before`, a program that starts it) to its end. Fails when it speaks of a bug. */
export async function runImgtool(
  root: string,
  args: readonly string[],
  before: readonly string[] = [],
): Promise<Ending> {
  const [program, ...rest] = [...before, IMGTOOL, '--root', root, '--progress', 'none', ...args];
  const ending = await new Promise<Ending>((resolve) => {
    execFile(program!, rest, { maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr }),
    );
  });
  expect(ending.stderr, `imgtool ${args.join(' ')}`).to.not.match(/unexpected|at .*\.js:\d+|Warning/);
  return ending;
}

/** A number in [0, 1) that follows from a seed and a position. */
export function randomAt(seed: number, position: string | number): number {
  return createHash('sha256').update(`${seed}/${position}`).digest().readUInt32LE(0) / 2 ** 32;
}
