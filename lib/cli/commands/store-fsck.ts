import { StoreError } from '../../errors.js';
import type { Finding } from '../../operations/index.js';
import type { CommandTable } from '../command.js';

export const storeFsck: CommandTable = {
  group: 'Store',
  summary: 'verify the content of the store',
  description:
    'Every blob is compared with its digest, every layer with what its blob unpacks to. The exit code is 7 if ' +
    'anything is damaged or missing at the end. With --repair, each line says what was done: repaired, removed (nothing ' +
    'needs it) or missing, with the command that restores it. The files of containers are not changed.',
  arguments: [],
  options: [
    { name: 'quick', default: false, summary: 'check records and presence only' },
    {
      name: 'repair',
      default: false,
      summary: 'remove damaged content and restore it from its blob or from a registry',
    },
  ],
  examples: [
    { command: 'imgtool store fsck', does: 'verify everything' },
    { command: 'imgtool store fsck --repair', does: 'restore damaged content' },
  ],
  async run({ options, signal, imgtool, print }) {
    const repair = options.flag('repair');
    const check = await imgtool.storeFsck({ quick: options.flag('quick'), repair, signal });
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
        path: imgtool.root,
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
