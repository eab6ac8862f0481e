import type { CommandTable } from '../command.js';
import { completionScript, SHELLS, type Shell } from '../completion/script.js';

export const completion: CommandTable = {
  group: 'Other',
  summary: 'print a completion script for a shell',
  description:
    'Completes commands, flags, values, files, images, containers, registries that you are logged in to, and repositories and ' +
    'tags of registries. Names at registries are kept for five minutes in $XDG_CACHE_HOME/imgtool/completion.json.',
  arguments: [{ name: 'SHELL', summary: 'shell to complete in', choices: SHELLS }],
  options: [],
  examples: [
    { command: 'source <(imgtool completion bash)', does: 'for this bash session' },
    { command: 'imgtool completion bash > /etc/bash_completion.d/imgtool', does: 'for every bash session' },
    { command: 'imgtool completion zsh > "${fpath[1]}/_imgtool"', does: 'for every zsh session' },
    { command: 'imgtool completion fish > ~/.config/fish/completions/imgtool.fish', does: 'for every fish session' },
  ],
  run: async ({ args }) => ({ bytes: await completionScript(args[0] as Shell) }),
};
