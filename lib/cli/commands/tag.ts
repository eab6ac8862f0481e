import type { CommandTable } from '../command.js';

export const tag: CommandTable = {
  group: 'Images',
  summary: 'add a name to an image',
  description: 'If another image has the name, it loses it.',
  arguments: [
    { name: 'IMAGE', summary: 'name, ID or unique ID prefix', completes: 'image' },
    { name: 'REF', summary: 'new name' },
  ],
  options: [],
  examples: [{ command: 'imgtool tag alpine:3.20 localhost:5000/base:stable', does: 'name it for another registry' }],
  async run({ args, signal, imgtool }) {
    const named = await imgtool.tag(args[0]!, args[1]!, { signal });
    return { json: named, text: [] };
  },
};

export const untag: CommandTable = {
  group: 'Images',
  summary: 'remove a name from an image; the image stays',
  arguments: [{ name: 'REF', summary: 'name to remove', completes: 'image' }],
  options: [],
  examples: [{ command: 'imgtool untag localhost:5000/base:stable', does: 'remove the name, keep the image' }],
  async run({ args, signal, imgtool }) {
    const named = await imgtool.untag(args[0]!, { signal });
    return { json: named, text: [] };
  },
};
