import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MachineEnvironment } from './machine.js';

/**
 * The directory in which the user's processes share state until the next boot; not created here. If other users can
 * write to its parent, callers must check the owner.
 */
export function runtimeDirectory({ env }: MachineEnvironment, uid: number = process.geteuid?.() ?? 0): string {
  const runtime = env.XDG_RUNTIME_DIR;
  if (runtime !== undefined && runtime.startsWith('/')) return join(runtime, 'imgtool');
  return uid === 0 ? '/run/imgtool' : join(tmpdir(), `imgtool-${uid}`);
}
