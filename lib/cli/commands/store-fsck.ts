import { StoreError } from '../../errors.js';
import type { Finding } from '../../operations/index.js';
import type { CommandSpec } from '../command.js';
import { namedLogin, SEVERAL_LOGINS } from '../creds.js';

export const storeFsck: CommandSpec = {
  path: ['store', 'fsck'],
  group: 'Store',
  summary: 'prove that the store holds what it should',
  description:
    'Every blob is read and compared with its digest, every layer with what its blob unpacks to. Ends with exit code 7 when ' +
    'something is wrong and still is afterwards. With --repair, each line says what became of it: repaired, removed (nothing ' +
    'needs it), or missing, with the command that brings it back. Containers keep the files they have.',
  arguments: [],
  options: [
    { name: 'quick', default: false, summary: 'look at records and presence only' },
    {
      name: 'repair',
      default: false,
      summary: 'remove what is bad and bring it back, from its blob or a registry that has it',
    },
  ],
  examples: [
    { command: 'imgtool store fsck', does: 'look at everything' },
    { command: 'imgtool store fsck --repair', does: 'fetch what is bad again' },
  ],
  async run({ options, signal, compose, print }) {
    namedLogin(options, [], SEVERAL_LOGINS);
    const [{ checkStore }, local, bootId] = await Promise.all([
      import('../../operations/index.js'),
      compose.local(),
      compose.bootId(),
    ]);
    const openRegistry = async (): Promise<Awaited<ReturnType<typeof compose.remote>>['registry']> =>
      (await compose.remote()).registry;
    const repair = options.flag('repair');
    const check = await checkStore(
      { ...local, openRegistry },
      { quick: options.flag('quick'), repair, bootId, signal },
    );
    const { findings, blobs, layers, images } = check;
    print({
      json: check,
      text: [
        ...findings.map((finding) => `${finding.kind} ${finding.subject}: ${finding.problem}${outcomeText(finding)}`),
        `${blobs} blobs, ${layers} layers, ${images} images: ${findings.length === 0 ? 'all good' : `${findings.length} bad`}`,
      ],
    });
    const left = findings.filter(({ outcome }) => outcome === 'found' || outcome === 'missing').length;
    if (left === 0) return undefined;
    throw new StoreError(
      `${left === 1 ? 'one thing' : `${left} things`} in the store ${left === 1 ? 'is' : 'are'} bad`,
      {
        path: compose.root,
        hint: repair
          ? 'the lines above say what brings each back; an image can also be removed with: imgtool rmi'
          : 'repair it with: imgtool store fsck --repair',
      },
    );
  },
};

function outcomeText({ outcome, hint }: Finding): string {
  if (outcome === 'found') return '';
  if (outcome === 'missing') return ` (missing; to bring it back: ${hint})`;
  return outcome === 'removed' ? ' (removed: nothing needs it)' : ' (repaired)';
}
