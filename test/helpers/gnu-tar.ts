import { spawnSync } from 'node:child_process';

/** How GNU tar took an archive. */
export interface GnuTarOutcome {
  /** 0: without a complaint that counts; 2: it did not understand something. */
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** GNU tar as a judge: unpacks `archive` (never compressed) into the directory `root`, everything kept. */
export function extractWithGnuTar(archive: Uint8Array, root: string): GnuTarOutcome {
  return tar(
    ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls', '-C', root, '-f', '-'],
    archive,
  );
}

/** Members as GNU tar lists them, one line each. */
export function listWithGnuTar(archive: Uint8Array): GnuTarOutcome {
  return tar(['-tvP', '--numeric-owner', '--full-time', '--quoting-style=escape', '-f', '-'], archive);
}

function tar(args: readonly string[], input: Uint8Array): GnuTarOutcome {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  const { status, stdout, stderr, error } = spawnSync('tar', args, { input, env, maxBuffer: 64 << 20 });
  // A reader that stops early closes its input: what it says is what counts.
  if (error !== undefined && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  return { status: status ?? -1, output: stdout.toString('latin1'), errors: stderr.toString('latin1') };
}
