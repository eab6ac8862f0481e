import type { Readable } from 'node:stream';
import { UsageError } from '../../errors.js';
import { splitCredentials } from '../../imgtool/index.js';
import type { CommandContext, CommandTable } from '../command.js';

const HOST = { name: 'HOST', summary: 'HOST[:PORT]; HOST/PATH for the repositories below a path' };

export const login: CommandTable = {
  group: 'Registries',
  summary: 'log in to a registry',
  description:
    "The login is verified at the registry, then stored for Docker's config.json (or --authfile, or REGISTRY_AUTH_FILE): in the " +
    'credential helper that the file names for the registry, else in the file itself. Prompts for missing values.',
  arguments: [HOST],
  options: [
    { name: 'username', short: 'u', value: 'USER', summary: 'user name' },
    {
      name: 'password',
      short: 'p',
      value: 'PASSWORD',
      secret: true,
      summary: 'password; other users of this machine can see it: better use --password-stdin',
    },
    { name: 'password-stdin', default: false, summary: 'read the password (or access token) from standard input' },
    { name: 'get-login', default: false, summary: 'print the user name of the current login' },
  ],
  examples: [
    { command: 'imgtool login registry.example.com', does: 'prompt for user name and password' },
    { command: 'imgtool login ghcr.io -u me --password-stdin <token.txt', does: 'without a terminal' },
    { command: 'imgtool login registry.example.com --get-login', does: 'show who is logged in' },
  ],
  async run(context) {
    const { args, options, signal, imgtool, progress } = context;
    const registry = args[0]!;
    if (options.flag('get-login')) {
      const found = await imgtool.getLogin(registry, { signal });
      return { json: found, text: [found.username] };
    }
    // Reports an invalid name before asking for anything.
    await (await imgtool.drivers()).registryKey(registry);
    const done = await imgtool.login(registry, { ...(await loginOf(context)), signal });
    if (!done.checked) progress.note(`${done.host} requires no login; saved without verification`);
    if (done.helper === undefined) {
      const what = done.identityToken ? 'an identity token' : 'the password';
      progress.note(`${what} is kept in ${done.file}, not encrypted`);
    }
    progress.note(`logged in to ${registry} as ${done.username}`);
    return { json: done, text: [] };
  },
};

export const logout: CommandTable = {
  group: 'Registries',
  summary: 'remove the login for a registry',
  description: 'Removes it from all files that imgtool reads and from the credential helpers they name.',
  arguments: [{ ...HOST, optional: true }],
  options: [{ name: 'all', short: 'a', default: false, summary: 'remove the logins for all registries' }],
  examples: [
    { command: 'imgtool logout registry.example.com', does: 'remove a login' },
    { command: 'imgtool logout --all', does: 'remove all logins' },
  ],
  async run({ args, options, signal, imgtool, progress }) {
    if (options.flag('all') === (args[0] !== undefined)) {
      throw new UsageError(options.flag('all') ? '--all cannot be combined with HOST' : 'no registry is named', {
        hint: 'name a registry, or give --all',
      });
    }
    if (options.flag('all')) {
      const all = await imgtool.logoutAll({ signal });
      for (const { host } of all) progress.note(`logged out of ${host}`);
      if (all.length === 0) progress.note('there were no logins');
      return { json: all, text: [] };
    }
    const { host, removed } = await imgtool.logout(args[0]!, { signal });
    const what = removed.length === 0 ? 'was not logged in to' : 'logged out of';
    progress.note(`${what} ${args[0]!}`);
    return { json: { host, removed }, text: [] };
  },
};

async function loginOf({
  options,
  input,
  ask,
  progress,
}: CommandContext): Promise<{ username: string; password: string }> {
  const creds = options.text('creds');
  const { username: known, password: given } = creds === undefined ? {} : splitCredentials(creds);
  const fromInput = options.flag('password-stdin');
  const named = options.text('username') ?? known;
  const typed = options.text('password');
  if (typed !== undefined && fromInput)
    throw new UsageError('--password and --password-stdin both give the password', { hint: 'leave out --password' });
  if (options.origin('password') === 'flag')
    progress.note('warning: other users of this machine can see a password on the command line: use --password-stdin');
  if (fromInput && named === undefined) {
    throw new UsageError('--password-stdin needs a user name', { hint: 'give it with -u' });
  }
  const username = named ?? (await ask('User name: ', { hidden: false })).trim();
  if (username === '' || username.includes(':')) {
    throw new UsageError(username === '' ? 'the user name is empty' : 'a user name cannot hold a colon', {
      hint: 'pass the password with --password-stdin or type it at the prompt',
    });
  }
  const password = fromInput
    ? await readPassword(input())
    : (typed ?? given) || (await ask('Password: ', { hidden: true }));
  if (password === '') {
    throw new UsageError('the password is empty', {
      hint: 'write it to standard input, or leave out --password-stdin',
    });
  }
  return { username, password };
}

const MAX_PASSWORD_BYTES = 64 * 1024;

async function readPassword(input: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_PASSWORD_BYTES) throw new UsageError('standard input holds more than a password');
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}
