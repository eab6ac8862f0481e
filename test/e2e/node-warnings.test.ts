import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL, startServe, type Served } from '../helpers/imgtool.js';
import { writeOciLayout } from '../helpers/oci-layout.js';

const LAYERS = 14;

describe('imgtool and the warnings of node', () => {
  let directory: string;
  let registry: DockerRegistry;
  let other: Served;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-warnings-'));
    [registry, other] = await Promise.all([startDockerRegistry(), startServe(join(directory, 'served'))]);
    const layers = Array.from({ length: LAYERS }, (_, i) => ({
      entries: [{ path: `file-${i}`, content: `layer ${i}\n` }],
    }));
    await writeOciLayout(join(directory, 'layout'), [{ tag: '1', layers }]);
  });
  after(async () => {
    await Promise.all([registry.stop(), other.stop()]);
    rmSync(directory, { recursive: true });
  });

  const stderrOf = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> =>
    (await promisify(execFile)(IMGTOOL, args, { env: { ...process.env, ...env } })).stderr;

  it(`gives no reason for one with an image of ${LAYERS} layers: copy, pull, push`, async () => {
    const root = btrfsDirectory('warnings');
    const [one, two] = [`${registry.host}/many:1`, `${other.host}/many:1`];
    for (const command of [
      ['copy', `oci:${directory}/layout:1`, `docker://${one}`],
      ['copy', '--format', 'v2s2', '--compression', 'gzip:2', `docker://${one}`, `docker://${two}`],
      ['pull', one],
      ['push', one, `${other.host}/pushed:1`],
      ['copy', `docker://${one}`, `oci:${directory}/copied:1`],
    ]) {
      const stderr = await stderrOf(['--root', root, '--parallel', '12', '--log-level', 'debug', ...command]);
      expect(stderr, command.join(' '))
        .to.match(/\b20\d in/)
        .and.not.match(/Warning/);
    }
  });

  it('are shown for debugging only', async () => {
    const preload = join(directory, 'preload.cjs');
    // With the first output, when the program has read its options.
    writeFileSync(
      preload,
      `const { write } = process.stdout;
      process.stdout.write = (...given) => {
        process.stdout.write = write;
        process.emitWarning('something is old', 'DeprecationWarning');
        return write.apply(process.stdout, given);
      };`,
    );
    const env = { NODE_OPTIONS: `--require ${preload}` };
    const args = ['tags', `${registry.host}/many`];
    expect(await stderrOf(args, env)).to.equal('');
    expect(await stderrOf([...args, '--log-level', 'debug'], env)).to.match(
      /node: DeprecationWarning: something is old/,
    );
  });
});
