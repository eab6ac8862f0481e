import type { CommandSpec } from '../command.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export const completion: CommandSpec = {
  path: ['completion'],
  group: 'Other',
  summary: 'print a completion script for a shell',
  arguments: [{ name: 'SHELL', summary: 'shell to complete in', choices: SHELLS }],
  options: [],
  examples: [
    { command: 'source <(imgtool completion bash)', does: 'for this bash session' },
    { command: 'imgtool completion zsh > "${fpath[1]}/_imgtool"', does: 'for every zsh session' },
    { command: 'imgtool completion fish > ~/.config/fish/completions/imgtool.fish', does: 'for every fish session' },
  ],
  async run({ args, commands }) {
    const { completionScript } = await import('../completion.js');
    return { bytes: Buffer.from(completionScript(args[0] as (typeof SHELLS)[number], commands)) };
  },
};
