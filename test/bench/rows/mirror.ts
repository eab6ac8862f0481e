import { putImage } from '../../helpers/artifacts.js';
import { startDockerRegistry, type DockerRegistry } from '../../helpers/docker-registry.js';
import { run } from '../../helpers/run.js';
import { bareCopy } from '../bare-copy.js';
import { timeProgram, type BenchRow, type Participant } from '../row.js';

const INSECURE = ['--src-tls-verify=false', '--dest-tls-verify=false'];
const SKOPEO = ['--insecure-policy'];
let source: DockerRegistry | undefined;
let target: DockerRegistry | undefined;

/** A copy of the image to an empty registry. */
export const coldCopy: BenchRow = {
  name: 'cold copy to another registry',
  unit: 's',
  runs: 5,
  participants: ({ imgtool, image }) => {
    const cold = (name: string, copy: (host: string) => Promise<number>): Participant => ({
      name,
      run: async () => {
        const empty = await startDockerRegistry();
        try {
          const value = await copy(empty.host);
          return { value, counts: { requests: (await empty.requests()).length } };
        } finally {
          await empty.stop();
        }
      },
    });
    return Promise.resolve([
      cold('imgtool copy', (to) =>
        timeProgram(imgtool, ['--progress', 'none', 'copy', image.reference, `${to}/bench/image:1`]),
      ),
      cold('skopeo copy', (to) =>
        timeProgram('skopeo', [
          ...[...SKOPEO, 'copy', '--quiet', ...INSECURE],
          ...[`docker://${image.reference}`, `docker://${to}/bench/image:1`],
        ]),
      ),
      cold('sockets alone, layers only', (to) => bareCopy(image, to)),
    ]);
  },
};

/** A mirror run over many tags of which none is new. */
export const noopSync: BenchRow = {
  name: 'sync with nothing new',
  unit: 's',
  runs: 5,
  participants: async ({ imgtool, quick }) => {
    [source, target] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
    for (let i = 0; i < (quick ? 20 : 200); i++) {
      await putImage(source.url, 'bench/app', `1.${i}`, { layers: ['shared', `layer ${i}`] });
    }
    const from = `${source.host}/bench/app`;
    return [
      again('imgtool sync', imgtool, ['--progress', 'none', 'sync', from, `${target.host}/imgtool/app`]),
      again('skopeo sync', 'skopeo', [
        ...[...SKOPEO, 'sync', '--src', 'docker', '--dest', 'docker', ...INSECURE],
        ...[from, `${target.host}/skopeo`],
      ]),
    ];
  },
  finish: async () => {
    await Promise.all([source?.stop(), target?.stop()]);
    source = target = undefined;
  },
};

/** The first run copies, untimed; each run then times the same command again. */
function again(name: string, program: string, args: readonly string[]): Participant {
  let copied = false;
  return {
    name,
    run: async () => {
      if (!copied) await run(program, args);
      copied = true;
      await Promise.all([source!.forget(), target!.forget()]);
      const value = await timeProgram(program, args);
      const requests = (await source!.requests()).length + (await target!.requests()).length;
      return { value, counts: { requests } };
    },
  };
}
