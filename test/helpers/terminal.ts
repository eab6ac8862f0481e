import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** A program on a pseudo terminal of its own. */
export interface OpenTerminal {
  /** Types; resolves with all that was printed from then on, once `until` matches it. Throws when that does not happen in 20 s. */
  type(keys: string, until: RegExp): Promise<string>;
  /** Closes the terminal. */
  close(): Promise<void>;
}

const PATIENCE_MS = 20_000;

/** Starts `command` (of sh) on a terminal that util-linux's `script` makes. Colours and cursor movements are taken out of what it prints. */
export async function openTerminal(
  command: string,
  { env, columns = 160 }: { readonly env: Readonly<Record<string, string | undefined>>; readonly columns?: number },
): Promise<OpenTerminal> {
  const child = spawn('script', ['-qefc', `stty rows 50 cols ${columns}; exec ${command}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...env },
  });
  await once(child, 'spawn');
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (data: string) => void (text += data));
  return {
    async type(keys, until) {
      const from = text.length;
      child.stdin.write(keys);
      for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(20)) {
        const printed = withoutControls(text.slice(from));
        if (until.test(printed)) return printed;
      }
      throw new Error(`the terminal does not show ${until}: ${JSON.stringify(withoutControls(text.slice(from)))}`);
    },
    async close() {
      const closed = once(child, 'close');
      // Interrupts what runs, then asks a shell to end.
      child.stdin.end('\x03\x15exit\r');
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await closed;
      clearTimeout(late);
    },
  };
}

function withoutControls(text: string): string {
  return text
    .replace(/\x1b\[[0-9;?>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[=>]/g, '')
    .replaceAll('\r', '');
}
