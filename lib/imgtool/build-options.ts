import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { NotFoundError, UsageError } from '../errors.js';
import type { BuildSecret } from '../operations/index.js';

/** Parses `NAME=VALUE` entries, keyed by name; with `env`, `NAME` alone takes the variable's value if it is set. Throws UsageError. */
export function parsePairs(option: string, texts: readonly string[], env?: NodeJS.ProcessEnv): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    if (name === '' || (equals < 0 && env === undefined))
      throw new UsageError(`${option} ${JSON.stringify(text.slice(0, 200))} has no value`, {
        hint: `write ${option} NAME=VALUE`,
      });
    const value = equals < 0 ? env?.[name] : text.slice(equals + 1);
    if (value !== undefined) pairs.set(name, value);
  }
  return pairs;
}

/** Parses `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`; without either, the secret is the variable NAME. Throws UsageError. */
export function parseSecret(text: string, env: NodeJS.ProcessEnv): BuildSecret {
  const fields = parseFields('--secret', text, ['id', 'src', 'source', 'env', 'type']);
  const [source, variable] = [fields.get('src') ?? fields.get('source'), fields.get('env')];
  const id = fields.get('id') ?? (source === undefined ? variable : basename(source));
  if (id === undefined || id === '')
    throw new UsageError(`--secret ${JSON.stringify(text.slice(0, 200))} has no id`, {
      hint: 'write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE',
    });
  if (source !== undefined && fields.get('type') !== 'env') return { id, read: () => readSecret(id, source) };
  const name = variable ?? source ?? id;
  return {
    id,
    read: () => {
      const value = env[name];
      if (value !== undefined) return Promise.resolve(Buffer.from(value));
      throw new NotFoundError(`the variable ${name} of the secret ${id} is not set`, {
        kind: 'file',
        subject: name,
        hint: `write --secret id=${id},src=FILE for a file`,
      });
    },
  };
}

async function readSecret(id: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NotFoundError(`the secret ${id} cannot be read: ${(cause as Error).message}`, {
      ...{ kind: 'file', subject: path, cause },
      hint: 'check the path of --secret',
    });
  }
}

/** Parses `NAME[=SOCKET]` into ID and socket, by default that of SSH_AUTH_SOCK. Throws UsageError. */
export function parseSsh(text: string, env: NodeJS.ProcessEnv): [id: string, socket: string] {
  const equals = text.indexOf('=');
  const id = equals < 0 ? text : text.slice(0, equals);
  const socket = equals < 0 ? env.SSH_AUTH_SOCK : text.slice(equals + 1);
  if (id === '' || socket === undefined || socket === '')
    throw new UsageError(`--ssh ${JSON.stringify(text.slice(0, 200))}: there is no SSH agent`, {
      hint: 'set SSH_AUTH_SOCK, or write --ssh NAME=SOCKET',
    });
  return [id, socket];
}

/** Parses comma-separated `KEY=VALUE` fields. Throws UsageError for an unknown key. */
export function parseFields(option: string, text: string, keys: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const field of text.split(',')) {
    const equals = field.indexOf('=');
    const key = equals < 0 ? field : field.slice(0, equals);
    if (!keys.includes(key))
      throw new UsageError(`${option} has no field ${JSON.stringify(key.slice(0, 100))}`, {
        hint: `its fields are ${keys.join(', ')}`,
      });
    fields.set(key, equals < 0 ? '' : field.slice(equals + 1));
  }
  return fields;
}
