import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MachineEnvironment } from './machine.js';

/**
 * Where processes of the user leave notes for one another until the next boot; not made here. Where it lies in a directory
 * that others may write to, whoever uses it has to check its owner.
 */
export function runtimeDirectory({ env }: MachineEnvironment, uid: number = process.geteuid?.() ?? 0): string {
  const runtime = env.XDG_RUNTIME_DIR;
  if (runtime !== undefined && runtime.startsWith('/')) return join(runtime, 'imgtool');
  return uid === 0 ? '/run/imgtool' : join(tmpdir(), `imgtool-${uid}`);
}
