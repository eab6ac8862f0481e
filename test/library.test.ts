import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { btrfsDirectory } from './helpers/btrfs.js';
import { startDockerRegistry, type DockerRegistry } from './helpers/docker-registry.js';
import { writeOciLayout } from './helpers/oci-layout.js';
import { run } from './helpers/run.js';
import { skopeoCopy } from './helpers/skopeo.js';

describe('the library', () => {
  let registry: DockerRegistry;
  before(async () => void (registry = await startDockerRegistry()));
  after(() => registry.stop());

  it('is what the program in docs/library.md takes it for', async () => {
    const directory = await mkdtemp(join(btrfsDirectory('library'), 'x-'));
    await writeOciLayout(join(directory, 'layout'), [
      { tag: 'a', layers: [{ entries: [{ path: 'etc', type: 'dir' }] }] },
    ]);
    await skopeoCopy(`oci:${join(directory, 'layout')}:a`, `docker://${registry.host}/app:1`);
    const [, program] = /```js\n(.*?)```/s.exec(await readFile('docs/library.md', 'utf8'))!;
    // A package finds itself by its name only from inside.
    const file = resolve(`dist/test/library-example-${process.pid}.mjs`);
    await writeFile(file, program!);
    try {
      const output = await run(process.execPath, [file, join(directory, 'store'), `${registry.host}/app:1`]);
      expect(output).to.match(/^pulled sha256:[0-9a-f]{64} true\n(C \/\n)?A \/hello\n$/);
    } finally {
      await rm(file);
    }
  });
});
