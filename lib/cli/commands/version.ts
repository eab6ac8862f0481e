import type { CommandTable } from '../command.js';
import { VERSION } from '../version.js';

export const version: CommandTable = {
  group: 'Other',
  summary: 'show the version',
  description: 'With --json also the version of Node.js and the platform.',
  arguments: [],
  options: [],
  examples: [{ command: 'imgtool version --json', does: 'for a bug report' }],
  run: () =>
    Promise.resolve({
      json: { version: VERSION, node: process.versions.node, platform: `${process.platform}/${process.arch}` },
      text: [VERSION],
    }),
};
