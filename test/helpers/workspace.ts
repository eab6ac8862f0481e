import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Served, startServe } from './imgtool.js';
import { skopeoCopy } from './skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from './small-image.js';

/** What most e2e tests begin with: a temporary directory, and in it the path of a store. */
export interface Workspace {
  readonly directory: string;
  /** The first command with this `--root` makes the store. */
  readonly root: string;
  /** Writes the small image as `layout` and serves it from `registry`; `remove` stops the server. */
  serveSmallImage(): Promise<{ readonly server: Served; readonly name: string }>;
  /** Stops what it has started, unmounts everything below the directory and removes it. */
  remove(): Promise<void>;
}

/** Makes a workspace; call `remove` in `after`. */
export async function makeWorkspace(label: string): Promise<Workspace> {
  const directory = await mkdtemp(join(tmpdir(), `imgtool-${label}-`));
  const servers: Served[] = [];
  return {
    directory,
    root: join(directory, 'root'),
    serveSmallImage: async () => {
      const server = await startServe(join(directory, 'registry'));
      servers.push(server);
      const name = `${server.host}/some/small:1`;
      await writeSmallImage(join(directory, 'layout'));
      await skopeoCopy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, `docker://${name}`);
      return { server, name };
    },
    remove: async () => {
      await Promise.all(servers.splice(0).map((server) => server.stop()));
      const mounted = execFileSync('findmnt', ['-rno', 'TARGET'], { encoding: 'utf8' }).split('\n').reverse();
      for (const target of mounted) if (target.startsWith(`${directory}/`)) execFileSync('umount', [target]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
